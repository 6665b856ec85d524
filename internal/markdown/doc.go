// Package markdown finds the Markdown pages of the repository and the code blocks in them, so that tests can
// check both.
//
// In: the tree of the repository.
// Out: each page with its text, and its blocks with their kind and line; an error where a block has no kind.
// Called by: internal/archtest, which checks the prose, and the tests of the documentation in internal/e2e.
// internal/deploytest, a module of its own, looks for its blocks itself.
// Never: decides whether a block is right.
// Concurrency: functions without state.
package markdown
