// Package watch tells when files may have changed.
//
// In: paths of files and directories, and for how long to wait for more changes.
// Out: one call for each burst of changes.
// Called by: the app, which then loads the policies again.
// Never: reads a file, calls twice at once, or stops because a path vanished.
// Concurrency: [Paths] uses the goroutine it is called on until its context ends, and leaves none behind.
package watch
