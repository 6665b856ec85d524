package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/bench/internal/report"
	"breakwater.dev/bench/internal/traffic"
)

const (
	// callRate is how many calls a second each breaker has while its owner is lost.
	callRate = 200
	// probeTimeout is the time limit of calls. A lost probe holds its permit for some time longer.
	probeTimeout = time.Second
)

// role is the state of a breaker whose owner is killed.
type role struct {
	name    string
	fields  string
	service *traffic.Upstream
	arrived atomic.Pointer[traffic.Times] // calls that have reached the service
}

// roles are an open breaker whose wait is long, one whose wait is over while it has no owner, and a closed one whose service begins to
// fail as its owner is killed.
func roles() []*role {
	const rules = "breaker: {consecutiveFailures: 5, waitDurationInOpenState: %s, successThreshold: 1}\n  timeout: %s"
	return []*role{
		{name: "open", fields: fmt.Sprintf(rules, "1h", probeTimeout)},
		{name: "due", fields: fmt.Sprintf(rules, "1s", probeTimeout)},
		{name: "closed", fields: fmt.Sprintf(rules, "1h", probeTimeout)},
	}
}

// lost has the figures for one owner that was killed. All times are from the kill, in milliseconds.
type lost struct {
	owned    [3]float64 // until all replicas that are left name an owner that lives, by role
	passed   int        // calls that reached the service of the open breaker
	before   int        // calls that reached the service of the breaker whose wait was over, before its new owner
	probe    float64    // until the first probe by the new owner
	rejected float64    // until the last proxy rejects calls of the closed breaker
	through  int        // calls of it that reached its service
}

// takeovers measures how long breakers are without an owner when the owner is killed.
func takeovers(b *bench, out *bytes.Buffer) ([]report.Target, error) {
	all := roles()
	var policy strings.Builder
	for _, r := range all {
		service, err := b.Upstream()
		if err != nil {
			return nil, err
		}
		r.service = service
		policy.WriteString(upstreams(r.name, 20+6*b.options.takeovers, service.Address(), r.fields))
	}
	b.say("starting %d control planes with %d proxies", several, fleet)
	s, err := b.setup(several, policy.String(), nil)
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	var results []lost
	for n := range b.options.takeovers {
		b.say("owner %d of %d", n+1, b.options.takeovers)
		victim := s.replicas[n%len(s.replicas)]
		hosts, err := s.victims(victim, all, used)
		if err != nil {
			return nil, err
		}
		l, err := s.lose(victim, all, hosts)
		if err != nil {
			return nil, err
		}
		results = append(results, l)
		if err := s.start(victim); err != nil {
			return nil, err
		}
		if err := s.agree(); err != nil {
			return nil, err
		}
	}
	return writeTakeovers(out, results), nil
}

// victims returns a breaker of each role that a replica owns, and that had no trial before.
func (s *setup) victims(owner *replica, all []*role, used map[string]bool) (hosts []string, err error) {
	for _, r := range all {
		owned, err := s.owned(r.name + "-")
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(owned[owner.name], func(host string) bool { return !used[host] })
		if i < 0 {
			return nil, fmt.Errorf("%s owns no more breakers that are %s", owner.name, r.name)
		}
		host := owned[owner.name][i]
		used[host] = true
		hosts = append(hosts, host)
	}
	return hosts, nil
}

// behave has a service answer all calls with 200, or all with 500, and forget those that have reached it.
func (r *role) behave(well bool) {
	times := &traffic.Times{}
	r.arrived.Store(times)
	r.service.Behave(func() bool {
		times.Add(time.Now())
		return well
	})
}

// since returns the calls that have reached the service since a time.
func (r *role) since(t time.Time) []time.Time {
	at := r.arrived.Load().Sorted()
	i, _ := slices.BinarySearchFunc(at, t, time.Time.Compare)
	return at[i:]
}

// lose kills the owner of breakers under load.
func (s *setup) lose(victim *replica, all []*role, hosts []string) (l lost, err error) {
	open, due, closed := all[0], all[1], all[2]
	open.behave(false)
	due.behave(true)
	closed.behave(true)
	var killed time.Time
	calls, err := s.underLoad(hosts, callRate, func() error {
		if err := s.isOpen(hosts[0]); err != nil {
			return err
		}
		due.behave(false)
		if err := s.isOpen(hosts[1]); err != nil {
			return err
		}
		s.Sleep(300 * time.Millisecond) // until all proxies reject
		closed.behave(false)
		killed = time.Now()
		victim.Kill()
		if err := s.taken(victim, hosts, killed, &l); err != nil {
			return err
		}
		if err := s.WaitUntil("a probe by the new owner", func() error {
			if len(due.since(after(killed, l.owned[1]))) == 0 {
				return fmt.Errorf("none came")
			}
			return nil
		}); err != nil {
			return err
		}
		s.Sleep(time.Second)
		return nil
	})
	if err != nil {
		return l, err
	}
	l.passed = len(open.since(killed))
	owner := after(killed, l.owned[1])
	probes := due.since(owner)
	l.before, l.probe = len(due.since(killed))-len(probes), milliseconds(probes[0].Sub(killed))
	last, err := traffic.LastToReject(calls[hosts[2]])
	if err != nil {
		s.say("%s: %v: this counts as if it rejected now", hosts[2], err)
		last, err = time.Now(), nil
	}
	l.rejected, l.through = milliseconds(last.Sub(killed)), len(closed.since(killed))
	return l, err
}

// after returns the time that is some milliseconds after another one.
func after(t time.Time, ms float64) time.Time {
	return t.Add(time.Duration(ms * float64(time.Millisecond)))
}

// isOpen waits until a breaker is open.
func (s *setup) isOpen(host string) error {
	return s.WaitUntil(host+" is open", func() error {
		var b api.OneBreaker
		err := s.replicas[0].read("/breakers/"+host, &b)
		if err == nil && b.State != api.Open {
			err = fmt.Errorf("it is %s", b.State)
		}
		return err
	})
}

// taken waits until the replicas that are left name one of them as the owner of each breaker, and notes when.
func (s *setup) taken(victim *replica, hosts []string, killed time.Time, l *lost) error {
	return s.WaitUntil("other replicas own the breakers", func() error {
		for i, host := range hosts {
			if l.owned[i] > 0 {
				continue
			}
			if err := s.lives(victim, host); err != nil {
				return err
			}
			l.owned[i] = milliseconds(time.Since(killed))
		}
		return nil
	})
}

// lives returns an error unless all replicas but a dead one say that one of them owns a breaker.
func (s *setup) lives(dead *replica, host string) error {
	owner := ""
	for _, r := range s.replicas {
		if r == dead {
			continue
		}
		var b api.OneBreaker
		if err := r.read("/breakers/"+host, &b); err != nil {
			return err
		}
		if b.Owner == "" || b.Owner == dead.name || b.LocalView || owner != "" && b.Owner != owner {
			return fmt.Errorf("%s says that %q owns %s (local view: %v)", r.name, b.Owner, host, b.LocalView)
		}
		owner = b.Owner
	}
	return nil
}

// writeTakeovers writes the table of lost owners, and returns the target.
func writeTakeovers(out *bytes.Buffer, all []lost) []report.Target {
	row := func(what string, of func(lost) float64) []string {
		return []string{what, report.Number(figure(all, 0, of)), report.Number(figure(all, 0.5, of)), report.Number(figure(all, 1, of))}
	}
	passed := func(l lost) float64 { return float64(l.passed) }
	whole := func(l lost) float64 { return slices.Max(l.owned[:]) }
	fmt.Fprintf(out, "\n## When an owner is killed\n\n%d owners, each with a breaker of each role; %d calls/s of each breaker over %d proxies, `timeout: %s`. Times are from the kill.\n\n", len(all), callRate, fleet, probeTimeout)
	report.Table(out, []string{"", "least", "p50", "most"}, [][]string{
		row("another one owns the open breaker, ms", func(l lost) float64 { return l.owned[0] }),
		row("calls that reach its failing service", passed),
		row("another one owns the breaker whose wait is over meanwhile, ms", func(l lost) float64 { return l.owned[1] }),
		row("calls that reach its failing service before", func(l lost) float64 { return float64(l.before) }),
		row("its first probe, ms", func(l lost) float64 { return l.probe }),
		row("another one owns the closed breaker, ms", func(l lost) float64 { return l.owned[2] }),
		row("the last proxy rejects its calls, which fail from the kill on, ms", func(l lost) float64 { return l.rejected }),
		row("calls that reach its failing service until then", func(l lost) float64 { return float64(l.through) }),
	})
	return []report.Target{
		{What: "another replica owns all breakers of a killed one, most", Limit: 4, Measured: figure(all, 1, whole) / 1000, Unit: "s"},
		{What: "calls that pass an open breaker meanwhile, most", Limit: 0, Measured: figure(all, 1, passed)},
	}
}
