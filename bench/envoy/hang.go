package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"breakwater.dev/bench/internal/traffic"
)

// slowThreshold is the slowCallDurationThreshold of the policy for hangs.
const slowThreshold = time.Second

// hangPolicy trips by slow calls in the window of two seconds, and by timeouts after ten.
const hangPolicy = "  timeout: 10s\n  breaker: {consecutiveFailures: 5, slowCallDurationThreshold: 1s, slowCallRateThreshold: 50%, " +
	"slidingWindow: {type: TimeBased, duration: 2s}, waitDurationInOpenState: 500ms, successThreshold: 1}\n"

// hangConnections is the number of connections to each proxy. Each call that hangs keeps one, so the load ends when all hang: after
// four seconds.
const hangConnections = steadyRate / fleet * 4

// hangs measures the time from the first call that hangs until the last of four proxies rejects, when a service stops
// answering.
func hangs(m *machine, out *bytes.Buffer) (reached []target, err error) {
	fmt.Fprintf(out, "## A service that stops answering\n\n%d requests/s over %d proxies; slowCallDurationThreshold: %s, slowCallRateThreshold: 50%% of a window of 2 s, timeout: 10s.\n\n"+
		"| | hangs | from the first call that hangs to the last proxy's first reject, p50 | most | requests that hung, most | tripped by |\n|---|---|---|---|---|---|\n", steadyRate, fleet, slowThreshold)
	for _, version := range []struct{ name, binary string }{{"this version", m.options.binary}, {"before", m.options.before}} {
		if version.binary == "" {
			continue
		}
		var delays []time.Duration
		var hung []int64
		reasons := map[string]int{}
		err := m.Scope(func() error {
			u, err := m.Upstream()
			if err != nil {
				return err
			}
			s, err := m.meshOf(version.binary, payments(u.Address())+guard(hangPolicy+fallback), fleet)
			if err != nil {
				return err
			}
			for n := range m.options.hangs {
				m.options.say("hang %d of %d, %s", n+1, m.options.hangs, version.name)
				h, err := oneHang(m, s, u)
				if err != nil {
					return err
				}
				delays, hung = append(delays, h.delay), append(hung, h.hung)
				reasons[h.reason]++
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		slices.Sort(delays)
		slices.Sort(hung)
		most := quantile(delays, 1)
		fmt.Fprintf(out, "| %s | %d | %v | %v | %d | %v |\n", version.name, len(delays), quantile(delays, 0.5).Round(time.Millisecond), most.Round(time.Millisecond), quantile(hung, 1), reasons)
		if version.binary == m.options.binary {
			reached = append(reached, target{what: "from the first call that hangs to the last of 4 Envoys rejecting, slow after 1 s", want: "at most 1 s after the threshold",
				got: (most - slowThreshold).Round(time.Millisecond).String() + " after it", met: most <= slowThreshold+time.Second})
		}
	}
	fmt.Fprintln(out)
	return reached, nil
}

// hangResult has the figures for one hang.
type hangResult struct {
	delay  time.Duration // from the first call that hangs until the last proxy rejects
	hung   int64         // calls that hung
	reason string        // why the breaker tripped
}

// oneHang stops the upstream under a steady load until all proxies reject, and lets it go on.
func oneHang(m *machine, s *mesh, u *traffic.Upstream) (h hangResult, err error) {
	var arrived traffic.Times
	resume := make(chan struct{})
	goOn := sync.OnceFunc(func() { close(resume) })
	defer goOn()
	calls, err := s.underLoadOf(hangConnections, func() error {
		m.Sleep(2500 * time.Millisecond) // fills the window
		u.Behave(func() bool {
			arrived.Add(time.Now())
			<-resume
			return true
		})
		err := s.state("open")
		m.Sleep(200 * time.Millisecond)
		u.Behave(func() bool { return true })
		goOn()
		return err
	})
	if err != nil {
		return h, err
	}
	b, err := s.breaker()
	if err != nil || b.Trip == nil {
		return h, fmt.Errorf("there was no trip: %w", err)
	}
	hung := arrived.Sorted()
	last, err := lastOfFirst(calls)
	h.delay, h.hung, h.reason = last.Sub(hung[0]), int64(len(hung)), b.Trip.Reason
	return h, errors.Join(err, s.waitUntilClosed())
}

// lastOfFirst returns the time at which the last proxy rejected its first call. The calls that hang end in no order, and never with a
// 503.
func lastOfFirst(calls [][]traffic.Call) (last time.Time, err error) {
	for _, all := range calls {
		var first time.Time
		for _, c := range all {
			if c.Status == 503 && (first.IsZero() || c.Done.Before(first)) {
				first = c.Done
			}
		}
		if first.IsZero() {
			return last, errors.New("a proxy did not reject")
		}
		if first.After(last) {
			last = first
		}
	}
	return last, nil
}
