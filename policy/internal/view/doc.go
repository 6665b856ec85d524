// Package view shows Go values as people read them, in JSON and YAML.
//
// In: a value, and what to say about the types that have a notation of their own.
// Out: ordered objects, lists and scalars; their YAML.
// Called by: policy, to print a set and to hash what it means.
// Never: leaves a field out by itself, or puts fields in another order than Go has them.
// Concurrency: pure functions.
package view
