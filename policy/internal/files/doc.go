// Package files reads policy files from disk, within bounds.
//
// In: paths of files and directories.
// Out: the content of every policy file, and a [Problem] for each path that has none to give.
// Called by: policy, for each load.
// Never: waits for a pipe that it was not told to read, reads more than its bounds, walks a directory outside of those it was given, or knows what is in a file.
// Concurrency: [Read] keeps nothing; calls are independent.
package files
