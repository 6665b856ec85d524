// Package archtest checks the source tree: the imports of each package, the uses between the files of a package, the length of
// files and functions, the clocks in pure packages, the doc comments of packages, and the prose.
//
// In: the Go files and the Markdown pages of the repository, parsed. Nothing is compiled or fetched.
// Out: findings, each with a file, a line and advice.
// Called by: its own tests, for the repository and for small bad examples.
// Never: accepts a package that is not in its table. A new package needs a row with a reason.
// Concurrency: its functions depend on their arguments only.
package archtest
