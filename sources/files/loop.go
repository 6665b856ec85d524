package files

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

// loop turns the kernel's events into reports of changes.
type loop struct {
	options  WatchOptions
	events   <-chan fsnotify.Event
	errors   <-chan error
	relevant func(fsnotify.Event) bool
	// changed looks at everything again and reports whether anything is different.
	changed func() bool
	report  func()
}

// run returns when ctx is done. It reports a burst even if the look sees no difference: two writes within
// one tick of the file system's clock look the same.
func (l *loop) run(ctx context.Context) {
	var burst burst
	timer := time.NewTimer(0)
	defer timer.Stop()
	timer.Stop()
	poll := time.NewTicker(l.options.Poll)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-l.events:
			if l.relevant(e) {
				timer.Reset(burst.event(time.Now(), l.options))
			}
		case <-l.errors:
			// For example, the kernel's queue has overflowed: anything may have changed.
			timer.Reset(burst.event(time.Now(), l.options))
		case <-timer.C:
			burst.over()
			l.changed()
			l.report()
		case <-poll.C:
			if l.changed() && !burst.pending {
				l.report()
			}
		}
	}
}

// burst is a series of events that follow one another quickly.
type burst struct {
	pending bool
	first   time.Time
}

// event returns how long to wait after an event at now: the quiet time, but no longer than the maximum
// since the first event.
func (b *burst) event(now time.Time, o WatchOptions) time.Duration {
	if !b.pending {
		b.pending, b.first = true, now
	}
	return max(0, min(o.Quiet, b.first.Add(o.Max).Sub(now)))
}

func (b *burst) over() { b.pending = false }
