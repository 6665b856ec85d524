package watch

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
)

// loop turns events into calls.
type loop struct {
	options  Options
	events   <-chan fsnotify.Event
	errors   <-chan error
	relevant func(fsnotify.Event) bool
	// changed takes a new look at everything and tells whether it is different.
	changed func() bool
	tell    func()
}

// run returns when ctx is done. A burst is told even where the look sees no
// difference: two writes within one tick of the file system's clock look the same.
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
			// The kernel's queue has overflowed or the like: anything may have changed.
			timer.Reset(burst.event(time.Now(), l.options))
		case <-timer.C:
			burst.over()
			l.changed()
			l.tell()
		case <-poll.C:
			if l.changed() && !burst.pending {
				l.tell()
			}
		}
	}
}

// burst is a run of events that follow one another quickly.
type burst struct {
	pending bool
	first   time.Time
}

// event returns how long to wait after an event at now: until it was quiet, but not
// longer than the maximum since the first event.
func (b *burst) event(now time.Time, o Options) time.Duration {
	if !b.pending {
		b.pending, b.first = true, now
	}
	return max(0, min(o.Quiet, b.first.Add(o.Max).Sub(now)))
}

func (b *burst) over() { b.pending = false }
