// Package yamlwalk reads YAML documents strictly, and keeps the place of every value.
//
// In: the bytes of one file, and for each object a table of the fields it may have.
// Out: typed values, and a [Problem] with line, column and path for everything that is wrong.
// Called by: policy, for each object.
// Never: expands an alias, guesses a type, panics on input, or knows what a field means.
// Concurrency: a Value is read only; a walk runs the functions of its [Visitor] on the caller's goroutine.
package yamlwalk
