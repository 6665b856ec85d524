// Package files is the source of policies that are files on disk: it reads them, and notices when they
// change.
//
// In: paths of files and directories, and how long a burst of changes may last.
// Out: a [policy.Object] for everything that was read and for each path that could not be read; a set of all, or diagnostics; one call for each burst of changes.
// Called by: the app and inprocess, at the start and after each change; validate and render.
// Never: puts some files in force and others not, waits for a pipe that no path names, reads more than its bounds, walks a directory outside those it was given, calls twice at once, or stops watching because a path vanished.
// Concurrency: [Load] and [Objects] keep nothing, so calls are independent; [Watch] uses its caller's goroutine until its context ends, and leaves none behind.
package files
