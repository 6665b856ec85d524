package watch

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Options are how soon a change is told. Those that are not positive have their default.
type Options struct {
	Quiet time.Duration // without an event before a burst is over; 100ms
	Max   time.Duration // after the first event at the latest; 2s
	// Poll is how often to look without having been told, for what the kernel does
	// not tell: network file systems, targets of links, more directories than it watches; 5s.
	Poll time.Duration
}

func (o Options) withDefaults() Options {
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

// Paths calls onChange after each burst of changes of files, or of directories and
// all that is below them, until ctx is done. Hidden entries do not count, but for the
// ..data link by which Kubernetes swaps the content of a ConfigMap. A path may vanish,
// come back, or not be there yet.
//
// started is called once all that is there is watched: what changes later is told. It
// may be nil. The error is that of asking the kernel for notifications.
func Paths(ctx context.Context, paths []string, o Options, started, onChange func()) error {
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
		relevant: w.relevant, changed: w.changed, tell: onChange,
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

// changed looks at everything, watches the directories that are there now, and tells
// whether anything is different from last time.
func (w *watcher) changed() bool {
	seen := look(w.paths)
	for path, old := range w.watched {
		if now, ok := seen.directories[path]; !ok || !now.same(old) {
			// The directory is gone or another one has its name; that the kernel may have
			// dropped its watch already is no problem.
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

// relevant tells whether an event is about one of the paths: the parents that are
// watched too, to see a path come back, hold other things.
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
