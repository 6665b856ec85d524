package extproc

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/guard/guardtest"
)

// proxies connects a proxy of each workload, which lists all upstreams. Each function that it returns turns a stream into
// one of that proxy, and returns the guard's peer for it.
func (r *rig) proxies(workloads ...string) []func(*stream) *guard.Peer {
	r.t.Helper()
	rules, err := guard.ParseRules([]string{guardtest.Rules})
	if err != nil {
		r.t.Fatal(err)
	}
	g := guard.New(guard.Options{Rules: rules, Log: slog.New(slog.DiscardHandler)})
	var all []func(*stream) *guard.Peer
	for _, w := range workloads {
		p := guardtest.Connect(r.t, g, w)
		p.Peer().List().Set(true, nil)
		all = append(all, func(s *stream) *guard.Peer {
			s.ctx = p.Context(s.ctx)
			return p.Peer()
		})
	}
	return all
}

// TestPausedProxyProbesNothing shows that a proxy whose probe was overdue gets no permit for a while. Its call is counted
// as rejected, or passes without a permit in the mode MetricsOnly. Other proxies probe meanwhile.
func TestPausedProxyProbesNothing(t *testing.T) {
	for _, mode := range []string{"Enforce", "MetricsOnly"} {
		t.Run(mode, func(t *testing.T) {
			r := newRig(t, inMode(mode, oneProbe))
			proxies := r.proxies("thief", "shop")
			thief, shop := proxies[0], proxies[1]
			r.open("http")
			r.after(wait)
			before := r.status("http").Counts
			s := r.stream("http", requestHeaders(), responseHeaders(":status", "500"))
			thief(s).Overdue("http", time.Minute)
			if err := r.server.Process(s); err != nil {
				t.Fatal(err)
			}
			want, rejected := before, mode == "Enforce"
			if want.Requests++; rejected {
				want.Rejected++
			} else {
				want.WouldReject, want.Failures = want.WouldReject+1, want.Failures+1
			}
			if got := s.answers[0].GetImmediateResponse() != nil; got != rejected {
				t.Errorf("answer %v, want the call rejected: %t", s.answers[0], rejected)
			}
			if got := r.status("http"); got.Counts != want || got.State != breaker.HalfOpen || got.ProbesInFlight != 0 {
				t.Errorf("%s with %d probes and %+v, want half-open with none and %+v", got.State, got.ProbesInFlight, got.Counts, want)
			}
			for range 2 {
				s := r.stream("http", requestHeaders(), responseHeaders(":status", "200"))
				shop(s)
				if err := r.server.Process(s); err != nil {
					t.Fatal(err)
				}
			}
			if got := r.status("http").State; got != breaker.Closed {
				t.Errorf("the breaker is %s after the probes of another proxy, want closed", got)
			}
		})
	}
}

// TestOverdueProbes shows that a proxy is not blamed for a probe that ends within the policy's timeout, however long that
// is. It is blamed for a probe that takes longer, unless the policy has no timeout.
func TestOverdueProbes(t *testing.T) {
	const longProbe = "{consecutiveFailures: 1, permittedNumberOfCallsInHalfOpenState: 1, successThreshold: 1, maxWaitDurationInHalfOpenState: 3h}"
	const inTime, late = 2 * time.Second, 6 * time.Second // after the policy's timeout
	for _, tt := range []struct {
		timeout string
		time    time.Duration
		blamed  bool
	}{
		{"300ms", 300 * time.Millisecond, true},
		{"75s", 75 * time.Second, true},
		{"2m", 2 * time.Minute, true},
		{"1h", time.Hour, true},
		{"0s", 3 * time.Hour, false}, // the lease is as long as half-open may last
		{"0s\n  responseHeaderTimeout: 2m", 2 * time.Minute, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			for beyond, blamed := range map[time.Duration]bool{inTime: false, late: tt.blamed} {
				r := newRigOf(t, strings.Replace(document, "timeout: 300ms", "timeout: "+tt.timeout, 1)+longProbe+"\n")
				proxy := r.proxies("shop")[0]
				r.open("http")
				r.after(wait)
				answer, seen := responseHeaders(":status", "503"), false
				s := r.stream("http", requestHeaders(), answer)
				p := proxy(s)
				s.events[1].before = func() {
					time.Sleep(tt.time + beyond)
					seen = !p.Probes("http")
				}
				if err := r.server.Process(s); err != nil {
					t.Fatal(err)
				}
				if seen != blamed || r.status("http").State != breaker.Open {
					t.Errorf("timeout %s: after a probe of %s blamed %t and %s, want %t and open", tt.timeout, tt.time+beyond, seen, r.status("http").State, blamed)
				}
			}
		})
	}
}
