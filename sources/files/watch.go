package files

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// WatchOptions say how soon a change is reported. A field that is not positive has its default.
type WatchOptions struct {
	// Quiet is how long nothing must happen before a burst of changes is over; 100 ms by default.
	Quiet time.Duration
	// Max is the longest time from the first change of a burst to its report; 2 s by default.
	Max time.Duration
	// Poll is how often to look at all paths, for changes that the kernel does not report: on network
	// file systems, at the targets of links, in more directories than it watches; 5 s by default.
	Poll time.Duration
}

func (o WatchOptions) withDefaults() WatchOptions {
	if o.Quiet <= 0 {
		o.Quiet = 100 * time.Millisecond
	}
	if o.Max <= 0 {
		o.Max = 2 * time.Second
	}
	if o.Poll <= 0 {
		o.Poll = 5 * time.Second
	}
	return o
}

// Watch calls onChange after each burst of changes of files, or of directories and everything below them,
// until ctx is done. Hidden entries do not count, apart from the ..data link by which Kubernetes swaps
// the content of a ConfigMap. A path may vanish, come back, or not exist yet.
//
// Watch calls started as soon as it watches everything that is there: it reports all later changes. A nil
// started is not called. All calls are on the caller's goroutine. The error is the kernel's, when it
// refuses notifications.
func Watch(ctx context.Context, paths []string, o WatchOptions, started, onChange func()) error {
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching %s: %w", strings.Join(paths, ", "), err)
	}
	w := &watcher{notifier: notifier, watched: map[string]directory{}}
	for _, p := range paths {
		w.paths = append(w.paths, filepath.Clean(p))
	}
	w.changed() // the first look
	if started != nil {
		started()
	}
	l := loop{
		options: o.withDefaults(),
		events:  notifier.Events, errors: notifier.Errors,
		relevant: w.relevant, changed: w.changed, report: onChange,
	}
	l.run(ctx)
	if err := notifier.Close(); err != nil {
		return fmt.Errorf("watching %s: %w", strings.Join(paths, ", "), err)
	}
	return nil
}

// watcher keeps the kernel's watches up to date with the tree.
type watcher struct {
	paths    []string
	notifier *fsnotify.Watcher
	watched  map[string]directory
	sum      fingerprint
}

// changed looks at everything, watches the directories that are there now, and reports whether anything
// is different from the last look.
func (w *watcher) changed() bool {
	seen := look(w.paths)
	for path, old := range w.watched {
		if now, ok := seen.directories[path]; !ok || !now.same(old) {
			// The directory is gone, or another one has its name. The kernel may have dropped its watch
			// already, so an error means nothing.
			_ = w.notifier.Remove(path)
			delete(w.watched, path)
		}
	}
	for path, dir := range seen.directories {
		if _, ok := w.watched[path]; ok {
			continue
		}
		// A directory that cannot be watched is polled.
		if err := w.notifier.Add(path); err == nil {
			w.watched[path] = dir
		}
	}
	different := seen.sum != w.sum
	w.sum = seen.sum
	return different
}

// relevant reports whether an event is about one of the paths. The parents of the paths are watched too,
// to see a path come back, and other files in them are not relevant.
func (w *watcher) relevant(e fsnotify.Event) bool {
	name := filepath.Clean(e.Name)
	base := filepath.Base(name)
	isSwap := base == "..data"
	if strings.HasPrefix(base, ".") && !isSwap {
		return slices.Contains(w.paths, name)
	}
	for _, p := range w.paths {
		if name == p || strings.HasPrefix(name, p+string(filepath.Separator)) || p == "." && !filepath.IsAbs(name) {
			return true
		}
		if isSwap && filepath.Dir(name) == filepath.Dir(p) {
			return true // p is one file of a ConfigMap
		}
	}
	return false
}
