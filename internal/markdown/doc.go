// Package markdown finds the Markdown pages of the repository and the code blocks in them, so that tests can
// check both.
//
// In: the root of the repository.
// Out: each page with its text, and its blocks with their kind and line; an error where a block has no kind.
// Called by: the tests of the documentation, internal/e2e and internal/deploytest.
// Never: decides whether a block is right.
// Concurrency: functions without state.
package markdown
