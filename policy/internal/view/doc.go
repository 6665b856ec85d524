// Package view shows Go values in JSON and YAML, for users to read, and encodes them in bytes, to be hashed.
//
// In: a value, and a notation for the types that are not shown field by field.
// Out: ordered objects, lists and scalars; their YAML; bytes that are equal where values are.
// Called by: policy, to print a set and to hash what it means.
// Never: leaves a field out by itself, or puts fields in another order than Go has them.
// Concurrency: pure functions; an Encoding can be used by several goroutines.
package view
