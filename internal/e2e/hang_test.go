package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// hung is an upstream whose calls hang until their timeout.
type hung struct {
	dialect dialect
	name    string
	node    string // the proxy whose breaker it is, with scope Node
}

// key returns the key of the breaker.
func (h hung) key() string { return strings.TrimSuffix(h.name+"@"+h.node, "@") }

// callsOf returns a script that makes n calls at once.
func callsOf(n int, script string) string {
	return strings.TrimSuffix(strings.Repeat(script+"|", n), "|")
}

// windowed has the fields of a breaker's page that tests of windows need.
type windowed struct {
	State  string
	Counts counts
	Trip   *struct {
		Reason string
		Window seenWindow
	}
	Window seenWindow
}

// seenWindow is the calls in a window.
type seenWindow struct{ Calls, Failures, Slow int }

func (m *mesh) window(t *testing.T, key string) (w windowed) {
	t.Helper()
	if err := json.Unmarshal([]byte(m.page(t, "/breakers/"+key)), &w); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestHungCallsTripAdaptive shows that a service that stops answering trips its breaker in the data path Adaptive by the calls that hang
// there, before any of them has reached its timeout. When they have, each is counted once.
func TestHungCallsTripAdaptive(t *testing.T) {
	t.Parallel()
	const good, hanging = 6, 10
	rules := []string{"timeout: 8s", "breaker: {consecutiveFailures: 0, failureRateThreshold: 0%, slowCallDurationThreshold: 1s, " +
		"slowCallRateThreshold: 50%, minimumNumberOfCalls: 10, slidingWindow: {type: TimeBased, duration: 1h}, waitDurationInOpenState: 1h}"}
	s := newScripted(t)
	all := []hung{{http1, "over-http1", ""}, {http2, "over-http2", ""}, {grpcs, "over-grpc", ""}, {http1, "of-nodes", "shop-1"}}
	last := marker.expand()[0]
	documents := s.documents(last.key(), last.dialect, last.service, last.fields()...)
	for _, h := range all {
		fields := rules
		if h.node != "" {
			fields = append([]string{"scope: Node"}, rules...)
		}
		documents += s.documents(h.name, h.dialect, "", fields...)
	}
	s.begin(t, documents)

	var wg sync.WaitGroup
	for _, h := range all {
		s.call(t.Context(), pair{h.dialect, "shop", h.name}, callsOf(good, "read 200 send:100"), "")
		eventually(t, "the good calls of "+h.key()+" are counted", func() error {
			if got := s.counts(t)[h.key()].Counts; got != (counts{Successes: good}) {
				return fmt.Errorf("it counts %s", got)
			}
			return nil
		})
		wg.Go(func() { s.call(t.Context(), pair{h.dialect, "shop", h.name}, callsOf(hanging, "read hang"), "") })
	}
	for _, h := range all {
		s.state(t, h.key(), "open")
		got := s.window(t, h.key())
		// As many slow calls as good ones are half of all. No call has failed, so none has ended.
		if want := (seenWindow{Calls: 2 * good, Slow: good}); got.Trip == nil || got.Trip.Reason != "slow_call_rate" || got.Trip.Window != want {
			t.Errorf("%s tripped by %+v, want slow_call_rate with %+v", h.key(), got.Trip, want)
		}
		if want := (counts{Successes: good}); got.Counts != want {
			t.Errorf("%s counts %s while the calls hang, want %s", h.key(), got.Counts, want)
		}
	}
	wg.Wait()
	s.playAll(t, nil, last)
	for _, h := range all {
		want := counts{Successes: good, Failures: hanging, Timeouts: hanging, Slow: hanging}
		if got := s.window(t, h.key()); got.Counts != want {
			t.Errorf("%s counts %s when the calls have ended, want %s", h.key(), got.Counts, want)
		}
	}
}

// TestHungCallsCountOnce shows that a closed breaker counts calls that hang as slow while they do, and that each ends as what it is: the
// window then has as many calls, failures and slow calls as the totals.
func TestHungCallsCountOnce(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	last := marker.expand()[0]
	quiet := ending{name: "quiet", over: anyHTTP, policy: "timeout: 4s"}
	rows := append(quiet.expand()[:1], quiet.expand()[2:3]...) // in the data path Adaptive
	documents := s.documents(last.key(), last.dialect, last.service, last.fields()...)
	for _, p := range rows {
		documents += s.documents(p.key(), p.dialect, "", p.fields()...)
	}
	s.begin(t, documents)
	scripts := []struct{ service, caller string }{
		{"read after:2.5s 200 send:100", ""}, {"read after:2.5s 500 send:100", ""}, {"read hang", ""}, {"read hang", "leave:3s"},
		{"read after:2.5s reset", ""}, {"read 200 drip:3s", ""}, {"read after:2.5s 200 send:100", "upload:200ms"},
	}
	const slow = 6 // all but the stream
	var wg sync.WaitGroup
	for _, p := range rows {
		for i, script := range scripts {
			wg.Go(func() {
				s.call(t.Context(), pair{p.dialect, fmt.Sprint(i), p.key()}, script.service, script.caller)
			})
		}
	}
	for _, p := range rows {
		eventually(t, "the calls of "+p.key()+" are slow", func() error {
			if got := s.window(t, p.key()); got.Window != (seenWindow{Calls: slow, Slow: slow}) || got.Counts != (counts{}) {
				return fmt.Errorf("its window has %+v, and it counts %s", got.Window, got.Counts)
			}
			return nil
		})
	}
	wg.Wait()
	s.playAll(t, nil, last)
	for _, p := range rows {
		got := s.window(t, p.key())
		want := counts{Successes: 3, Failures: 3, Timeouts: 1, Slow: slow, Ignored: 1}
		if window := (seenWindow{Calls: 7, Failures: 3, Slow: slow}); got.Counts != want || got.Window != window {
			t.Errorf("%s counts %s with %+v in its window, want %s and %+v", p.key(), got.Counts, got.Window, want, window)
		}
	}
}

// TestStreamsAreNotLoggedWhileTheyRun shows that a proxy logs calls without a response a few times at most, and calls that were answered
// not at all while they go on.
func TestStreamsAreNotLoggedWhileTheyRun(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	last := marker.expand()[0]
	streams := ending{name: "streams", over: onlyHTTP1, policy: "timeout: 0s"}.expand()[0]
	polls := ending{name: "polls", over: onlyHTTP1, policy: "timeout: 0s"}.expand()[0]
	documents := s.documents(last.key(), last.dialect, last.service, last.fields()...)
	for _, p := range []*played{streams, polls} {
		documents += s.documents(p.key(), p.dialect, "", p.fields()...)
	}
	s.begin(t, documents)
	const calls = 5
	var wg sync.WaitGroup
	wg.Go(func() {
		s.call(t.Context(), pair{http1, "", streams.key()}, callsOf(calls, "101 drip:8s close"), "upgrade")
	})
	wg.Go(func() { s.call(t.Context(), pair{http1, "", polls.key()}, callsOf(calls, "read after:8s 200"), "") })
	wg.Wait()
	s.playAll(t, nil, last)
	if got := s.window(t, polls.key()).Window; got != (seenWindow{Calls: calls, Slow: calls}) {
		t.Errorf("the window has %+v, want %d slow calls", got, calls)
	}
	running, skipped := s.metric(t, `breakwater_feed_entries_total{result="running"}`), s.metric(t, `breakwater_feed_entries_total{result="skipped"}`)
	if running != calls || skipped > 2*calls {
		t.Errorf("%v entries told of slow calls and %v of nothing, want %d of slow calls, and at most one more for each", running, skipped, calls)
	}
}
