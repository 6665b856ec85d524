package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/bench/internal/measure"
	"breakwater.dev/bench/internal/report"
	"breakwater.dev/bench/internal/traffic"
)

// tripRate is how many calls a second the breaker that trips has. Each proxy sends one every four milliseconds, so this is how
// exactly the first reject of a proxy is known.
const tripRate = 1_000

// kind is a kind of trips.
type kind struct {
	name, prefix, fields string
	trips                int
	warm                 time.Duration // how long the service is well before it fails
}

// trip has the figures for one trip.
type trip struct {
	delay time.Duration // from the failure that tripped the breaker until the last proxy rejects
	run   int           // failures in the run that tripped
	after int           // calls that reached the service after the failure that tripped
}

// trips measures the time from the failure that trips a breaker until the last proxy of the last replica rejects. Both setups are alive
// all the time, and have their trips in turns, so that a disturbance of the machine meets both alike.
func trips(b *bench, out *bytes.Buffer) ([]report.Target, error) {
	const rules = "breaker: {consecutiveFailures: 5, waitDurationInOpenState: 1h}"
	kinds := []kind{
		{"Adaptive", "quiet", rules, b.options.trips, 0},
		{"Inline", "inline", "dataPath: Inline\n  failOpen: false\n  " + rules, b.options.trips, 0},
		{"Adaptive, sampled", "busy", rules, b.options.busy, 1500 * time.Millisecond},
	}
	service, err := b.Upstream()
	if err != nil {
		return nil, err
	}
	var policy strings.Builder
	for _, k := range kinds {
		policy.WriteString(upstreams(k.prefix, k.trips, service.Address(), k.fields))
	}
	both, err := b.both(policy.String())
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(out, "\n## From a failure to the last of %d proxies\n\n%d calls/s over all proxies, `consecutiveFailures: 5`; milliseconds.\n\n", fleet, tripRate)
	var reached []report.Target
	var lines [][]string
	for _, k := range kinds {
		results := make([][]trip, len(both))
		for n := range k.trips {
			if n%10 == 0 {
				b.say("%s: trip %d of %d", k.name, n+1, k.trips)
			}
			for turn := range both {
				i := (turn + n) % len(both)
				t, err := both[i].trip(fmt.Sprintf("%s-%d", k.prefix, n+1), k.warm, service)
				if err != nil {
					return nil, fmt.Errorf("%s replicas, %s: %w", both[i].name, k.name, err)
				}
				results[i] = append(results[i], t)
			}
		}
		lines = append(lines, k.lines(results)...)
		late := delay(results[1], 0.99) - delay(results[0], 0.99)
		reached = append(reached, report.Target{What: fmt.Sprintf("trip with three replicas, %s: later than with one, p99", k.name), Limit: 40, Measured: late, Unit: "ms"})
	}
	report.Table(out, []string{"", "replicas", "trips", "p50", "p90", "p99", "most", "failures in the run, p50", "calls let through after, p50", "most"}, lines)
	return reached, nil
}

// both starts one control plane, and several replicas, with the same policy.
func (b *bench) both(policy string) (both [2]*setup, err error) {
	for i, n := range []int{1, several} {
		b.say("starting %d control planes with %d proxies", n, fleet)
		if both[i], err = b.setup(n, policy, nil); err != nil {
			return both, err
		}
	}
	return both, nil
}

// trip has the service fail under a steady load of one breaker, until all proxies reject.
func (s *setup) trip(host string, warm time.Duration, service *traffic.Upstream) (t trip, err error) {
	failures := &traffic.Times{}
	fail := func() bool {
		failures.Add(time.Now())
		return false
	}
	service.Behave(func() bool { return true })
	if warm == 0 {
		service.Behave(fail)
	}
	var b api.OneBreaker
	calls, err := s.underLoad([]string{host}, tripRate, func() error {
		s.Sleep(warm)
		service.Behave(fail)
		s.Sleep(250 * time.Millisecond) // without questions to the replicas, which cost them time
		err := s.WaitUntil(host+" is open", func() error {
			err := s.replicas[0].read("/breakers/"+host, &b)
			if err == nil && (b.State != api.Open || b.Trip == nil) {
				err = fmt.Errorf("it is %s", b.State)
			}
			return err
		})
		s.Sleep(100 * time.Millisecond)
		return err
	})
	if err != nil {
		return t, err
	}
	at := failures.Sorted()
	if t.run = int(b.Trip.Window.Run); t.run < 1 || t.run > len(at) {
		return t, fmt.Errorf("a run of %d failures tripped %s, and the service failed %d times", t.run, host, len(at))
	}
	last, err := traffic.LastToReject(calls[host])
	if err != nil {
		s.say("%s: %v: the trip counts as if it rejected now", host, err)
		last = time.Now()
	}
	t.delay, t.after = max(0, last.Sub(at[t.run-1])), len(at)-t.run
	return t, nil
}

// lines are the rows of a kind in the table.
func (k kind) lines(results [][]trip) (lines [][]string) {
	for i, name := range []string{"one", "three"} {
		all := results[i]
		line := []string{k.name, name, fmt.Sprint(len(all))}
		for _, q := range []float64{0.5, 0.9, 0.99, 1} {
			line = append(line, report.Number(delay(all, q)))
		}
		after := func(t trip) float64 { return float64(t.after) }
		lines = append(lines, append(line, report.Number(figure(all, 0.5, func(t trip) float64 { return float64(t.run) })),
			report.Number(figure(all, 0.5, after)), report.Number(figure(all, 1, after))))
	}
	return lines
}

// delay returns a quantile of the delays of trips, in milliseconds.
func delay(all []trip, q float64) float64 {
	return figure(all, q, func(t trip) float64 { return milliseconds(t.delay) })
}

// figure returns a quantile of a figure of all trips.
func figure[T any](all []T, q float64, of func(T) float64) float64 {
	values := make([]float64, len(all))
	for i, t := range all {
		values[i] = of(t)
	}
	slices.Sort(values)
	return measure.Quantile(values, q)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
