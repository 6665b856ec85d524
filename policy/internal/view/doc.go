// Package view shows Go values in JSON and YAML, for users to read.
//
// In: a value, and a notation for the types that are not shown field by field.
// Out: ordered objects, lists and scalars; their YAML.
// Called by: policy, to print a set and to hash what it means.
// Never: leaves a field out by itself, or puts fields in another order than Go has them.
// Concurrency: pure functions.
package view
