// Package files is the source of policies that are files on disk: it reads them, and notices when they
// change.
//
// In: paths of files and directories, and how long a burst of changes may last.
// Out: a [policy.Set] of everything that was read, or diagnostics, also for each path that could not be read; one call for each burst of changes.
// Called by: the app and inprocess, at the start and after each change; validate and render.
// Never: puts some files in force and others not, waits for a pipe that no path names, reads more than its bounds, walks a directory outside those it was given, calls twice at once, or stops watching because a path vanished.
// Concurrency: a [Loader] is for one goroutine at a time, parses on several while it loads, and leaves none behind; [LoadOnce] keeps nothing; [Watch] uses its caller's goroutine until its context ends, and leaves none behind.
package files
