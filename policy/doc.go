// Package policy compiles policy objects into a [Set]: everything that the rest of Breakwater needs to
// know, complete, checked and immutable.
//
// A source, such as files on disk, hands over an [Object] for each Upstream and each BreakerPolicy.
// [CompileAll] puts all objects in force, or none and says why. [Compile] puts in force as many as
// possible, and has a [Result] for each. A [Compiler] does what CompileAll does, again and again, at the cost of
// the changes.
//
// The package is larger than others on purpose. It is one language: each field of it has a reader, a
// default, a merge and checks against other fields, and all checks share the same places and the same
// settings. In two packages, most of these would have to be exported for the other one.
//
// In: objects in YAML or JSON, and the environment's replacements for the built-in defaults.
// Out: a [Set], and every [Diagnostic] with its source, line, column and path.
// Called by: sources, for their objects; everything that follows a policy reads the Set.
// Never: reads a file, leaves a field to be defaulted later, has in a Set anything of an object that it refuses, or knows Envoy's terms.
// Concurrency: the functions are pure; a [Compiler] is for one goroutine at a time; objects and sets never change once they are made, apart from the precedence of objects.
package policy
