// Package policy turns policy files into a [Set]: everything the rest of
// Breakwater needs to know, complete, checked and immutable.
//
// In: YAML files, and the environment's replacements for the built-in defaults.
// Out: a [Set], or every [Diagnostic] there is, each with file, line and column.
// Called by: the server at start and on every change, and by validate and render.
// Never: returns a Set together with a diagnostic, leaves a field to be defaulted later, or knows of Envoy.
// Concurrency: a Set is never changed after it was returned; the functions are pure, except that Load reads files.
//
// It is one package, although it is a large one, because reading, merging and checking all
// work on the same settings, field by field. A diagnostic of a merged policy points at the
// line that a field was read from, so the three share every field with its place.
package policy
