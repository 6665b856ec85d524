// Package table has the import table: which package of this module may import which packages, and why.
//
// In: nothing.
// Out: the rows.
// Called by: archtest, which checks the imports and prints the table in docs/architecture.md.
// Never: checks anything itself.
// Concurrency: the rows never change.
package table
