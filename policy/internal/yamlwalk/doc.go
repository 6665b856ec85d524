// Package yamlwalk visits YAML documents strictly and remembers where everything stands.
//
// In: the bytes of one file, and for each object a table of the fields it may have.
// Out: typed values, and a [Problem] with line, column and path for everything that is not as it must be.
// Called by: policy, for each file it loads.
// Never: expands an alias, guesses a type, panics on input, or knows what a field means.
// Concurrency: a Value is read only; visiting calls the functions of its [Visitor] on the caller's goroutine.
package yamlwalk
