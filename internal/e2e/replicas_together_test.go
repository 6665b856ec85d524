package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater.dev/internal/redistest"
)

// tripTogether shows that a breaker trips after exactly as many failures as the policy says, though no proxy has seen enough of them.
func tripTogether(t *testing.T, store redistest.Kind) {
	w := newSharing(t, redistest.Start(t, store), nil, byRun)
	_, subjects := w.pick(t)
	for _, s := range subjects {
		made := s.fails(t, tripsAfter-1)
		if err := s.is("closed"); err != nil {
			t.Errorf("one failure too early: %v", err)
		}
		began := time.Now()
		made += s.fails(t, 1)
		s.everywhere(t, "open")
		known := time.Since(began)
		s.reject(t)
		t.Logf("%s: all replicas say open %s after the last failure, and all proxies reject after %s", s.name, known.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		for _, r := range w.all {
			if trip := r.history(t, s.host).Trip; trip == nil || trip.Reason != "consecutive_failures" || trip.Window.Run != tripsAfter {
				t.Errorf("%s says that the breaker has tripped by %+v, want a run of %d failures", r.name, trip, tripsAfter)
			}
		}
		if s.name == "Inline" {
			if n := s.upstream.calls.Load(); n != int64(made) {
				t.Errorf("%d calls reached the service, want the %d that failed", n, made)
			}
		}
	}
}

// sampleTogether shows a busy upstream of which proxies log a sample, each to one of the replicas. Few failures make no run of failures,
// though successes between them are in other logs, or in none. When most calls fail, the breaker trips by a run.
func sampleTogether(t *testing.T, store redistest.Kind) {
	const calls = 20_000
	w := newSharing(t, redistest.Start(t, store), nil, byRun)
	owner, subjects := w.pick(t)
	s := subjects[slices.IndexFunc(subjects, func(s *subject) bool { return s.name == "Adaptive" })]
	s.upstream.behave(blend(0.01))
	var callers []*caller
	for _, p := range s.proxies {
		callers = append(callers, p.caller)
	}
	made := busy(t, calls, s.host, callers...)
	if trip := owner.history(t, s.host).Trip; trip != nil {
		t.Fatalf("1 %% failures tripped the breaker by %+v", trip)
	}
	entries := 0.0
	for _, r := range w.all {
		entries += r.metric(t, `breakwater_feed_entries_total{result="reported"}`)
	}
	if entries > calls*9/10 { // each of four proxies logs 50 a second, and a slow machine makes some hundreds in a second
		t.Errorf("%v of %d calls were logged, want a sample", entries, made.Load())
	}
	got, want := float64(owner.breaker(t, s.host).Counts.Requests), float64(made.Load())
	if got < want*0.4 || got > want*1.6 { // an estimate, as with one replica
		t.Errorf("%v calls are counted, and %v were made", got, want)
	}
	s.upstream.behave(blend(0.6))
	s.everywhere(t, "open")
	if trip := owner.history(t, s.host).Trip; trip.Reason != "consecutive_failures" || trip.Window.Run < tripsAfter {
		t.Errorf("the breaker tripped by %+v, want a run of failures", trip)
	}
	s.reject(t)
}

// byHand changes a breaker at a replica, with the token.
func (o *operated) byHand(t *testing.T, args ...string) {
	t.Helper()
	args = append(args, "--by", "alice@ops", "--reason", "moving the database", "--admin-token-file", o.tokenFile)
	if result := o.breakers(t, args...); result.code != 0 {
		t.Fatalf("%s, %v: exit code %d: %s%s", o.ip, args, result.code, result.stdout, result.stderr)
	}
}

// changeByHand shows that what an operator does at any replica is in force in the whole mesh, and that each replica shows it.
func changeByHand(t *testing.T, store redistest.Kind) {
	w := newSharing(t, redistest.Start(t, store), nil, byRate)
	_, subjects := w.pick(t)
	for _, s := range subjects {
		s.pass(t)
		for i, r := range w.all {
			began := time.Now()
			r.byHand(t, "force", s.host, "open", "--for", "1h")
			made := time.Since(began)
			s.reject(t)
			t.Logf("%s, at %s: the command took %s, and all proxies reject after %s", s.name, r.name, made.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
			s.listed(t, "open", "alice@ops")
			reached := s.upstream.calls.Load()
			for range 5 {
				if err := s.answers(t, fellBack); err != nil {
					t.Error(err)
				}
			}
			if n := s.upstream.calls.Load() - reached; n > 0 {
				t.Errorf("%d calls passed a breaker that is forced open", n)
			}
			began = time.Now()
			w.all[(i+1)%len(w.all)].byHand(t, "reset", s.host)
			s.pass(t)
			t.Logf("%s: all proxies pass %s after the reset", s.name, time.Since(began).Round(time.Millisecond))
			s.listed(t, "closed", "reset")
		}
	}
}

// listed waits until the list of each replica has a breaker in a state, for a reason.
func (s *subject) listed(t *testing.T, state, because string) {
	t.Helper()
	for _, r := range s.live() {
		eventually(t, "the list of "+r.name, func() error {
			result := r.breakers(t, "list", s.host)
			if result.code != 0 || !strings.Contains(result.stdout, " "+state+" ") || !strings.Contains(result.stdout, because) {
				return fmt.Errorf("exit code %d, and the list is\n%s%s", result.code, result.stdout, result.stderr)
			}
			return nil
		})
	}
}
