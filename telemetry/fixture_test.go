package telemetry

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

// start is the wall clock's time of instant 0 in all tests.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("CET", 3600))

func wall(i breaker.Instant) time.Time { return start.Add(time.Duration(i)) }

func at(d time.Duration) breaker.Instant { return breaker.Instant(d) }

// setOf returns a policy with default breakers for keys.
func setOf(revision string, keys ...string) *policy.Set {
	set := &policy.Set{Revision: revision}
	for _, k := range keys {
		key := breaker.ParseKey(k)
		set.Upstreams = append(set.Upstreams, &policy.Upstream{
			Name:   key.Upstream,
			Routes: []policy.Route{{Name: key.Route, Breaker: &policy.Breaker{Spec: specOf(k)}}},
		})
	}
	return set
}

func specOf(key string) breaker.Spec {
	return breaker.Spec{Key: breaker.ParseKey(key), Config: breaker.DefaultConfig(), Lease: 20 * time.Second}
}

// situations are what the golden files ask about, by the name that they use.
var situations = map[string]func() *Telemetry{
	"empty":    func() *Telemetry { return New(Options{}) },
	"typical":  typical,
	"refused":  refused,
	"failed":   failed,
	"not-yet":  notYet,
	"half":     func() *Telemetry { return dependenciesOf(breaker.Open, breaker.Closed) },
	"minority": func() *Telemetry { return dependenciesOf(breaker.Open, breaker.HalfOpen, breaker.HalfOpen) },
}

// typical is a mesh with a breaker in each state.
func typical() *Telemetry {
	t := New(Options{
		Version: "v1.2.3", Wall: wall,
		Breakers: typicalBreakers,
		Ready: func() []Condition {
			return []Condition{{Name: "policy", OK: true, Reason: "4 breakers"}, {Name: "xds listener", OK: true}}
		},
		Calls: func(workload string) ([]string, bool) {
			calls := map[string][]string{"shop": {"payments"}, "search": {"catalog", "inventory"}, "batch": {}}
			upstreams, known := calls[workload]
			return upstreams, known
		},
		Config: func() any { return map[string]any{"upstreams": []string{"catalog", "inventory", "payments"}} },
		XDS:    typicalXDS,
		Extproc: func() ExtprocStatus {
			return ExtprocStatus{Streams: 3, Admitted: 1200, Rejected: 40, UnknownBreakers: 2, Errors: 1}
		},
	})
	t.Apply(setOf("5f3a", "catalog", "inventory", "payments", "payments/charge", "reports"), start)
	t.ObserveTransition(breaker.Transition{
		Key: breaker.Key{Upstream: "inventory"}, Edge: breaker.Edge{From: breaker.Closed, To: breaker.Open, Reason: breaker.FailureRate},
		Sequence: 1, Generation: 1, At: at(60 * time.Second),
		Window: breaker.WindowCounts{Calls: 20, Failures: 11, Run: 2}, Wait: 30 * time.Second,
	})
	t.ObserveTransition(breaker.Transition{
		Key: breaker.Key{Upstream: "inventory"}, Edge: breaker.Edge{From: breaker.Open, To: breaker.HalfOpen, Reason: breaker.WaitOver},
		Sequence: 2, Generation: 2, At: at(90 * time.Second), Since: at(60 * time.Second),
	})
	t.ObserveTransition(breaker.Transition{
		Key: breaker.Key{Upstream: "payments", Route: "charge"}, Edge: breaker.Edge{From: breaker.Closed, To: breaker.Open, Reason: breaker.ConsecutiveFailures},
		Sequence: 1, Generation: 1, At: at(80*time.Second + 250*time.Millisecond),
		Window: breaker.WindowCounts{Calls: 7, Failures: 5, Run: 5}, Wait: 30 * time.Second,
	})
	for _, d := range []time.Duration{4 * time.Millisecond, 5 * time.Millisecond, 180 * time.Millisecond, 45 * time.Second} {
		t.ObserveCall(breaker.Key{Upstream: "catalog"}, d)
	}
	return t
}

// typicalBreakers does not have "reports", which is in the policy, and has
// "retired", which is not: as while a new policy is being taken.
func typicalBreakers() []breaker.Status {
	c := breaker.DefaultConfig()
	fine := c
	fine.FailureRateThreshold, fine.WindowDuration = 2525, 90*time.Second
	return []breaker.Status{
		{
			Key: breaker.Key{Upstream: "catalog"}, Config: fine,
			Window: breaker.WindowCounts{Calls: 10, Failures: 1},
			Counts: breaker.Counts{Requests: 104, Successes: 100, Failures: 3, Timeouts: 1, Ignored: 1}, LastFailure: at(99 * time.Second),
		},
		{
			Key: breaker.Key{Upstream: "inventory"}, Config: c, State: breaker.HalfOpen, Generation: 2, Since: at(90 * time.Second),
			ProbesInFlight: 2, Window: breaker.WindowCounts{Calls: 1},
			Counts: breaker.Counts{Requests: 61, Rejected: 17, Successes: 20, Failures: 21, LeasesExpired: 1}, LastFailure: at(60 * time.Second),
		},
		{
			Key: breaker.Key{Upstream: "payments"}, Config: c,
			Window: breaker.WindowCounts{Calls: 9, Failures: 4, Run: 4},
			Counts: breaker.Counts{Requests: 9, Successes: 5, Failures: 4}, LastFailure: at(97 * time.Second),
		},
		{
			Key: breaker.Key{Upstream: "payments", Route: "charge"}, Config: c, State: breaker.Open, Generation: 1,
			Since: at(80*time.Second + 250*time.Millisecond), RetryAfter: 10*time.Second + 250*time.Millisecond,
			Counts: breaker.Counts{Requests: 30, Rejected: 23, Successes: 2, Failures: 5, Timeouts: 5}, LastFailure: at(80*time.Second + 250*time.Millisecond),
		},
		{Key: breaker.Key{Upstream: "retired"}, Config: c},
	}
}

const (
	clusterType = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	routeType   = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
)

func typicalXDS() XDSStatus {
	return XDSStatus{
		Nodes: []NodeStatus{
			{
				ID: "shop-2", Cluster: "shop", Version: "1.36.2", ConnectedSince: start.Add(2 * time.Second), Outdated: true,
				Types: []TypeStatus{
					{Type: clusterType, Resources: 3, LastACK: start.Add(3 * time.Second)},
					{Type: routeType, Resources: 1, NACK: &NACK{
						At: start.Add(3*time.Second + 500*time.Microsecond), Resources: []string{"egress"},
						Message: `Only unique names for routes are supported: "payments" <egress>`,
					}},
				},
			},
			{ID: "shop-1", Cluster: "shop", Version: "1.40.0", ConnectedSince: start.Add(time.Second)},
		},
		Totals: []TypeTotals{{Type: clusterType, Pushes: 4, PushBytes: 4096}, {Type: routeType, Pushes: 3, PushBytes: 900, NACKs: 1}},
	}
}

// refused is typical after a reload whose policy had problems.
func refused() *Telemetry {
	t := typical()
	t.Refused(fmt.Errorf("load policy: %w", policy.Diagnostics{
		{File: "shop.yaml", Line: 7, Col: 3, Path: "spec.breaker.successThreshold", Got: "0", Want: "a number from 1 to 1000000", Rule: "out-of-range"},
		{File: "stock.yaml", Got: "12 MB", Want: "at most 10 MB", Rule: "file-size"},
	}), start.Add(time.Minute))
	return t
}

// failed is typical after a reload that found no policy to read.
func failed() *Telemetry {
	t := typical()
	t.Refused(errors.New("read policies: open /etc/breakwater: no such file or directory"), start.Add(time.Minute))
	return t
}

// notYet is a process that cannot serve.
func notYet() *Telemetry {
	return New(Options{Ready: func() []Condition {
		return []Condition{{Name: "policy", OK: true}, {Name: "xds listener", Reason: "listen tcp 127.0.0.1:18000: bind: address already in use"}}
	}})
}

// dependenciesOf has a breaker in each of states.
func dependenciesOf(states ...breaker.State) *Telemetry {
	var all []breaker.Status
	for i, s := range states {
		all = append(all, breaker.Status{Key: breaker.Key{Upstream: fmt.Sprintf("u%d", i+1)}, State: s})
	}
	return New(Options{Breakers: func() []breaker.Status { return slices.Clone(all) }})
}
