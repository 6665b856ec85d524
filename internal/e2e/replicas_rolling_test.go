package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"breakwater.dev/internal/redistest"
)

// sumOf adds up a series of all replicas that are not away.
func (w *sharing) sumOf(t *testing.T, series string) (sum int) {
	t.Helper()
	for _, r := range w.live() {
		sum += int(r.metric(t, series))
	}
	return sum
}

// transitions is the series of one kind of transitions of a breaker.
func transitions(host, from, reason, to string) string {
	return fmt.Sprintf("circuit_breaker_transitions_total{from=%q,reason=%q,route=\"\",service=%q,to=%q}", from, reason, host, to)
}

// rollingRestart shows that a breaker is open for all of its wait while each replica is restarted, that its trip is counted once, and that
// it closes afterwards.
func rollingRestart(t *testing.T, store redistest.Kind) {
	const wait = 30 * time.Second
	w := newSharing(t, redistest.Start(t, store), nil, fmt.Sprintf("breaker: {consecutiveFailures: %d, failureRateThreshold: 0%%, slowCallRateThreshold: 0%%, "+
		"waitDurationInOpenState: %s, permittedNumberOfCallsInHalfOpenState: %d, successThreshold: %d, maxWaitDurationInHalfOpenState: 1h}", tripsAfter, wait, permits, needed))
	_, subjects := w.pick(t)
	probes, crowds, at := make([]*probed, len(subjects)), make([]crowd, len(subjects)), make([]time.Time, len(subjects))
	trips := make([]int, len(subjects))
	for i, s := range subjects {
		probes[i] = s.trip(t)
		at[i] = w.all[0].history(t, s.host).Trip.At
		crowds[i] = s.crowd(t)
	}
	count := func(r *replica) {
		for i, s := range subjects {
			trips[i] += int(r.metric(t, transitions(s.host, "closed", "consecutive_failures", "open")))
		}
	}
	for _, r := range w.all {
		count(r)
		r.away = true
		if code := r.terminate(t); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
		startAgain(t, w, r)
		r.away = false
		w.agree(t)
		t.Logf("%s is back %s after the trip", r.name, time.Since(at[0]).Round(100*time.Millisecond))
	}
	for i, s := range subjects {
		s.heals(t, probes[i])
		crowds[i].clean(t)
		if waited := time.Unix(0, probes[i].first.Load()).Sub(at[i]); waited < wait-50*time.Millisecond {
			t.Errorf("%s: the first probe came %s after the trip, want %s or more", s.host, waited, wait)
		}
	}
	for _, r := range w.all {
		count(r)
	}
	for i, s := range subjects {
		if trips[i] != 1 {
			t.Errorf("%s: %d trips are counted, want 1", s.host, trips[i])
		}
		for _, series := range []string{transitions(s.host, "open", "wait_over", "half_open"), transitions(s.host, "half_open", "probes_succeeded", "closed")} {
			if n := w.sumOf(t, series); n != 1 {
				t.Errorf("%s adds up to %d, want 1", series, n)
			}
		}
	}
}

// countOnce shows that each call is counted by one replica, also when the owner of its breaker has changed.
func countOnce(t *testing.T, store redistest.Kind) {
	w := newSharing(t, redistest.Start(t, store), nil, byRate)
	for _, one := range []struct {
		name string
		departing
	}{{"the owner stays", departing{}}, {"the owner stops in order", stopOwner}, {"the owner is killed", killOwner}} {
		t.Run(one.name, func(t *testing.T) {
			d := one.departing
			owner, subjects := w.pick(t)
			calls, before := make([]made, len(subjects)), make([]int, len(subjects))
			for i, s := range subjects {
				s.upstream.behave(answer(http.StatusOK))
				calls[i].calls(t, s)
				calls[i].counted(t, s, 0, true, false)
				before[i] = int(owner.metric(t, requestsOf(s.host)))
			}
			if d.leave == nil {
				return
			}
			// A report that the owner has counted and not yet confirmed is counted again after a kill.
			holds(t, "all reports are confirmed", 500*time.Millisecond, func() error { return nil })
			owner.away = true
			d.leave(t, w, owner)
			w.agree(t)
			again := func() {
				for i, s := range subjects {
					calls[i].calls(t, s)
					calls[i].counted(t, s, before[i], true, true)
				}
			}
			again()
			d.back(t, w, owner)
			owner.away = false
			w.agree(t)
			again()
		})
	}
}

func requestsOf(host string) string {
	return fmt.Sprintf(`circuit_breaker_requests_total{route="",service=%q}`, host)
}

// few is so few calls that proxies log all of them.
const few = 40

// made are calls that were made.
type made struct {
	reached   int // the service
	undecided int // got no answer in time, and may be counted all the same
}

// calls makes more calls through all proxies.
func (m *made) calls(t *testing.T, s *subject) {
	t.Helper()
	for i := range few {
		r, err := s.proxies[i%len(s.proxies)].get(t.Context(), s.host, "/")
		switch {
		case err != nil || r.status != http.StatusOK && r.status != fellBack:
			t.Fatalf("got %d %q, %v", r.status, r.body, err)
		case r.status == http.StatusOK:
			m.reached++
		default:
			m.undecided++
		}
	}
}

// counted waits until the requests of all replicas add up to the calls that were made, less a number. Entries of logs that go to a
// replica that has ended are lost, so there may be fewer in the data path Adaptive then. shown means that each replica shows all calls.
func (m *made) counted(t *testing.T, s *subject, less int, shown, lossy bool) {
	t.Helper()
	fits := func(n, less int) bool {
		return n <= m.reached+m.undecided-less && (n >= m.reached-less || lossy && s.name == "Adaptive")
	}
	eventually(t, "each call of "+s.host+" is counted once", func() error {
		if n := s.sumOf(t, requestsOf(s.host)); !fits(n, less) {
			return fmt.Errorf("the sum is %d after %+v, of which %d were counted by a replica that is gone", n, *m, less)
		}
		for _, r := range s.live() {
			if n := r.breaker(t, s.host).Counts.Requests; shown && !fits(n, 0) {
				return fmt.Errorf("%s shows %d calls after %+v", r.name, n, *m)
			}
		}
		return nil
	})
}

// eachProxyItsOwn shows that the breaker of one proxy trips and other breakers do not, whichever replicas they use, and that it closes
// after its owner was killed.
func eachProxyItsOwn(t *testing.T, store redistest.Kind) {
	w := newSharing(t, redistest.Start(t, store), nil, byRate, "scope: Node")
	_, subjects := w.pick(t)
	for _, s := range subjects {
		s.pass(t)
		failing := &subject{&sharing{root: w.root, all: w.all, proxies: w.proxies[:1]}, s.dataPath, s.host}
		others := &subject{&sharing{root: w.root, all: w.all, proxies: w.proxies[1:]}, s.dataPath, s.host}
		failing.fails(t, tripsAfter)
		one := &subject{w, s.dataPath, s.host + "@shop-1"}
		one.everywhere(t, "open")
		failing.reject(t)
		s.upstream.behave(answer(http.StatusOK))
		for range 10 {
			if err := others.answers(t, http.StatusOK); err != nil {
				t.Error(err)
			}
		}
		for i := range others.proxies {
			other := &subject{w, s.dataPath, fmt.Sprintf("%s@shop-%d", s.host, i+2)}
			other.everywhere(t, "closed")
		}
		owner := w.owner(t, one.host)
		owner.away = true
		owner.control.kill()
		w.agree(t)
		one.live()[0].ready(t, one.live()[0].control, "http://"+one.live()[0].ip+":18080/health/ready")
		c := failing.crowd(t)
		one.everywhere(t, "closed")
		c.clean(t)
		others.pass(t)
		startAgain(t, w, owner)
		owner.away = false
		w.agree(t)
	}
}
