package files

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// told runs a loop in fake time while script sends it events, and returns the times of its reports.
func told(t *testing.T, polls []bool, script func(event func(name string), fail func(error))) []time.Duration {
	t.Helper()
	var at []time.Duration
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		events, failures := make(chan fsnotify.Event), make(chan error)
		l := loop{
			options:  WatchOptions{Quiet: 100 * time.Millisecond, Max: 2 * time.Second, Poll: 10 * time.Second},
			events:   events,
			errors:   failures,
			relevant: func(e fsnotify.Event) bool { return e.Name == "policy" },
			changed: func() bool {
				if len(polls) == 0 {
					return false
				}
				different := polls[0]
				polls = polls[1:]
				return different
			},
			report: func() { at = append(at, time.Since(start)) },
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.run(ctx)
		}()
		script(func(name string) { events <- fsnotify.Event{Name: name} }, func(err error) { failures <- err })
		cancel()
		<-done
	})
	return at
}

// pass lets fake time pass.
func pass(d time.Duration) { <-time.After(d) }

func TestLoop(t *testing.T) {
	const ms = time.Millisecond
	for name, tc := range map[string]struct {
		polls  []bool
		script func(event func(string), fail func(error))
		want   []time.Duration
	}{
		"one event is told when it was quiet": {
			script: func(event func(string), _ func(error)) { event("policy"); pass(time.Second) },
			want:   []time.Duration{100 * ms},
		},
		"a burst is told once": {
			script: func(event func(string), _ func(error)) {
				for range 5 {
					event("policy")
					pass(90 * ms)
				}
				pass(time.Second)
			},
			want: []time.Duration{460 * ms},
		},
		"a burst without end is told at the maximum, and again": {
			script: func(event func(string), _ func(error)) {
				for range 45 {
					event("policy")
					pass(90 * ms)
				}
				pass(time.Second)
			},
			// The first burst begins at 0, the second with the event at 2070 ms.
			want: []time.Duration{2000 * ms, 4060 * ms},
		},
		"what is not ours is not told": {
			script: func(event func(string), _ func(error)) { event("other"); pass(time.Second) },
		},
		"an error may mean a change": {
			script: func(_ func(string), fail func(error)) { fail(errors.New("overflow")); pass(time.Second) },
			want:   []time.Duration{100 * ms},
		},
		"a poll tells only a difference": {
			polls:  []bool{false, true, false},
			script: func(func(string), func(error)) { pass(35 * time.Second) },
			want:   []time.Duration{20 * time.Second},
		},
		"a poll within a burst leaves it to the burst": {
			polls: []bool{true, false},
			script: func(event func(string), _ func(error)) {
				pass(9950 * ms)
				event("policy")
				pass(time.Second)
			},
			want: []time.Duration{10050 * ms},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := told(t, tc.polls, tc.script); !slices.Equal(got, tc.want) {
				t.Errorf("told at %v, want %v", got, tc.want)
			}
		})
	}
}
