package telemetry

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

// start is the wall clock's time of instant 0 in all tests.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("CET", 3600))

func wall(i breaker.Instant) time.Time { return start.Add(time.Duration(i)) }

func at(d time.Duration) breaker.Instant { return breaker.Instant(d) }

// setOf returns a policy with default breakers for keys, in the data path Adaptive.
func setOf(revision string, keys ...string) *policy.Set {
	set := &policy.Set{Revision: revision}
	for _, k := range slices.Sorted(slices.Values(keys)) {
		key, last := breaker.ParseKey(k), len(set.Upstreams)-1
		if last < 0 || set.Upstreams[last].Name != key.Upstream {
			set.Upstreams = append(set.Upstreams, &policy.Upstream{Name: key.Upstream})
			last++
		}
		u := set.Upstreams[last]
		u.Routes = append(u.Routes, policy.Route{Name: key.Route, Breaker: &policy.Breaker{Spec: specOf(k), DataPath: policy.Adaptive}})
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
		Version: "v1.2.3", Wall: wall, Log: slog.New(slog.DiscardHandler),
		Breakers: typicalBreakers,
		Ready: func() []Condition {
			return []Condition{{Name: "policy", OK: true, Reason: "9 breakers"}, {Name: "xds listener", OK: true}}
		},
		Calls: func(workload string) ([]string, bool) {
			calls := map[string][]string{"shop": {"payments"}, "search": {"catalog", "inventory"}, "batch": {}}
			upstreams, known := calls[workload]
			return upstreams, known
		},
		Config: func() any { return map[string]any{"upstreams": []string{"catalog", "inventory", "payments"}} },
		XDS:    typicalXDS,
		Store: func() StoreStatus {
			return StoreStatus{Kept: true, Writes: 12, Failures: 1, Bytes: 4096, LastSuccess: start}
		},
		Extproc: func() ExtprocStatus {
			return ExtprocStatus{Streams: 3, Admitted: 1200, Rejected: 40, UnknownBreakers: 2, Errors: 1}
		},
		Feed: func() FeedStatus {
			return FeedStatus{Streams: 4, Messages: 700, Bytes: 1 << 20, Reported: 3000, Rejected: 250, Skipped: 60, Invalid: 1, Dropped: 9, Refused: 8}
		},
		Peers: func() PeerStatus {
			return PeerStatus{Held: 3 << 20, Most: 144 << 20, Refused: []RefusedTotal{{"xds", "identity", 2}, {"connection", "idle", 0}}}
		},
		Gates: func() GateStatus {
			return GateStatus{Open: 3, Probing: 1, Ramping: 2, Connections: 5, LayerBytes: 412, Refused: 1, Waiting: 6}
		},
		Outliers: typicalOutliers,
	})
	t.Apply(typicalPolicy(), start)
	for _, tr := range typicalTransitions() {
		t.ObserveTransition(tr)
	}
	for _, d := range []time.Duration{4 * time.Millisecond, 5 * time.Millisecond, 180 * time.Millisecond, 45 * time.Second} {
		t.ObserveCalls(breaker.Key{Upstream: "catalog"}, d, 1)
	}
	t.ObserveCalls(breaker.Key{Upstream: "catalog"}, 20*time.Millisecond, 32)
	for _, d := range []time.Duration{-time.Second, 1900 * time.Microsecond, 2 * time.Millisecond, 40 * time.Millisecond} {
		t.ObserveGatePropagation(d)
	}
	return t
}

// typicalOutliers are in no order, as are what is ejected; "mirror" has no breaker.
func typicalOutliers() []OutlierStatus {
	ejections := func(consecutive, rate uint64) map[string]uint64 {
		return map[string]uint64{"success_rate": rate, "consecutive_5xx_errors": consecutive}
	}
	endpoints := func(all ...string) (parsed []netip.AddrPort) {
		for _, e := range all {
			parsed = append(parsed, netip.MustParseAddrPort(e))
		}
		return parsed
	}
	return []OutlierStatus{
		{Upstream: "stock", Endpoints: 5, Ejected: endpoints("10.0.0.12:8080", "[2001:db8::1]:8080", "10.0.0.7:8080"), Ejections: ejections(4, 1), Detected: 2},
		{Upstream: "catalog", Endpoints: 3, Ejections: ejections(0, 0)},
		{Upstream: "mirror", Endpoints: 2, Ejected: endpoints("10.0.1.1:80"), Ejections: ejections(0, 1)},
	}
}

// typicalBreakers does not have "reports", which is in the policy, and has
// "retired", which is not: as while a new policy is being taken.
func typicalBreakers(dst []breaker.Status) []breaker.Status {
	c := breaker.DefaultConfig()
	fine, watched, shut := c, c, c
	fine.FailureRateThreshold, fine.WindowDuration = 2525, 90*time.Second
	fine.BackoffMultiplier, fine.BackoffJitter, fine.RampDuration = 150, 1000, time.Minute
	watched.Mode, watched.WindowSize = breaker.MetricsOnly, 50
	shut.Mode = breaker.ForcedOpen
	trip := chargeTrip()
	return append(dst,
		breaker.Status{
			Key: breaker.Key{Upstream: "catalog"}, Config: &fine, Admits: 4375, InFlight: 4, Openings: 1,
			Window: breaker.WindowCounts{Calls: 10, Failures: 1, Slow: 3},
			Counts: breaker.Counts{Requests: 108, Successes: 100, Failures: 3, Timeouts: 1, Ignored: 1, Slow: 5}, LastFailure: at(99 * time.Second),
		},
		breaker.Status{
			Key: breaker.Key{Upstream: "inventory"}, Config: &c, State: breaker.HalfOpen, Generation: 2, Sequence: 2, Since: at(90 * time.Second),
			Episode:        &breaker.Episode{Cause: new(inventoryTrip()), Trip: new(inventoryTrip())},
			ProbesInFlight: 2, InFlight: 2, Window: breaker.WindowCounts{Calls: 1},
			Counts: breaker.Counts{Requests: 61, Rejected: 17, Successes: 20, Failures: 21, LeasesExpired: 1}, LastFailure: at(60 * time.Second),
		},
		breaker.Status{
			Key: breaker.Key{Upstream: "payments"}, Config: &c, Admits: breaker.Whole,
			Window: breaker.WindowCounts{Calls: 9, Failures: 4, Run: 4},
			Counts: breaker.Counts{Requests: 9, Successes: 5, Failures: 4}, LastFailure: at(97 * time.Second),
		},
		breaker.Status{
			Key: trip.Key, Config: &c, State: breaker.Open, Generation: 1, Sequence: 1, Openings: 2, Episode: &breaker.Episode{Cause: &trip, Trip: &trip},
			Since: at(80*time.Second + 250*time.Millisecond), RetryAfter: 10*time.Second + 250*time.Millisecond,
			Counts: breaker.Counts{Requests: 30, Rejected: 23, Successes: 2, Failures: 5, Timeouts: 5}, LastFailure: trip.At,
		},
		breaker.Status{
			Key: breaker.Key{Upstream: "ratings"}, Config: &watched, State: breaker.Open, Since: at(85 * time.Second), RetryAfter: 15 * time.Second,
			Window: breaker.WindowCounts{Calls: 50, Failures: 40},
			Counts: breaker.Counts{Requests: 62, Successes: 12, Failures: 50, WouldReject: 12}, LastFailure: at(95 * time.Second),
		},
		breaker.Status{
			Key: breaker.Key{Upstream: "search"}, Config: &c, State: breaker.Open, Generation: 1, Sequence: 1, Since: at(70 * time.Second),
			Override: &breaker.Override{State: breaker.Open, By: "alice", Note: "index is being rebuilt, see <chat>", Until: at(670 * time.Second)},
			Counts:   breaker.Counts{Requests: 20, Rejected: 8, Successes: 12},
		},
		breaker.Status{Key: breaker.Key{Upstream: "shut"}, Config: &shut, State: breaker.Open, Counts: breaker.Counts{Requests: 5, Rejected: 5}},
		// A scope of nodes: the sum of two proxies, and each.
		breaker.Status{
			Key: breaker.Key{Upstream: "stock", Route: "list"}, Config: &c, State: breaker.Open, Since: at(98 * time.Second), Nodes: 2, InFlight: 1,
			Window: breaker.WindowCounts{Calls: 12, Failures: 6}, Counts: breaker.Counts{Requests: 33, Rejected: 2, Successes: 24, Failures: 6}, LastFailure: at(98 * time.Second),
		},
		breaker.Status{
			Key: breaker.Key{Upstream: "stock", Route: "list", Node: "shop-1"}, Config: &c, Admits: breaker.Whole, InFlight: 1,
			Window: breaker.WindowCounts{Calls: 6}, Counts: breaker.Counts{Requests: 25, Successes: 24},
		},
		breaker.Status{
			Key: breaker.Key{Upstream: "stock", Route: "list", Node: "shop-2"}, Config: &c, State: breaker.Open, Since: at(98 * time.Second), RetryAfter: 28 * time.Second,
			Window: breaker.WindowCounts{Calls: 6, Failures: 6}, Counts: breaker.Counts{Requests: 8, Rejected: 2, Failures: 6}, LastFailure: at(98 * time.Second),
		},
		breaker.Status{Key: breaker.Key{Upstream: "retired"}, Config: &c, Admits: breaker.Whole},
	)
}

// typicalPolicy is what typicalBreakers are of.
func typicalPolicy() *policy.Set {
	set := setOf("5f3a", "catalog", "inventory", "payments", "payments/charge", "ratings", "reports", "search", "shut", "stock/list")
	for _, u := range set.Upstreams {
		for _, r := range u.Routes {
			if r.Name == "charge" || u.Name == "inventory" {
				r.Breaker.DataPath = policy.Inline
			}
		}
	}
	return set
}

// chargeTrip is why payments/charge is open.
func chargeTrip() breaker.Transition {
	return breaker.Transition{
		Key: breaker.Key{Upstream: "payments", Route: "charge"}, Edge: breaker.Edge{From: breaker.Closed, To: breaker.Open, Reason: breaker.ConsecutiveFailures},
		Sequence: 1, Generation: 1, At: at(80*time.Second + 250*time.Millisecond),
		Window: breaker.WindowCounts{Calls: 7, Failures: 5, Slow: 5, Run: 5}, Wait: 30 * time.Second, Openings: 2,
	}
}

// inventoryTrip is why inventory is not closed.
func inventoryTrip() breaker.Transition {
	return breaker.Transition{
		Key: breaker.Key{Upstream: "inventory"}, Edge: breaker.Edge{From: breaker.Closed, To: breaker.Open, Reason: breaker.FailureRate},
		Sequence: 1, Generation: 1, At: at(60 * time.Second),
		Window: breaker.WindowCounts{Calls: 20, Failures: 11, Run: 2}, Wait: 30 * time.Second, Openings: 1,
	}
}

// typicalTransitions are what led to typicalBreakers, and one that a breaker would make which
// is only watched.
func typicalTransitions() []breaker.Transition {
	return []breaker.Transition{
		inventoryTrip(),
		{
			Key: breaker.Key{Upstream: "search"}, Edge: breaker.Edge{From: breaker.Closed, To: breaker.Open, Reason: breaker.Forced},
			Sequence: 1, Generation: 1, At: at(70 * time.Second), By: "alice", Note: "index is being rebuilt, see <chat>", Until: at(670 * time.Second),
		},
		chargeTrip(),
		{
			Key: breaker.Key{Upstream: "inventory"}, Edge: breaker.Edge{From: breaker.Open, To: breaker.HalfOpen, Reason: breaker.WaitOver},
			Sequence: 2, Generation: 2, At: at(90 * time.Second), Since: at(60 * time.Second), Cause: new(inventoryTrip()),
		},
		{
			Key: breaker.Key{Upstream: "stock", Route: "list", Node: "shop-2"}, Edge: breaker.Edge{From: breaker.Closed, To: breaker.Open, Reason: breaker.SlowCallRate},
			Sequence: 1, Generation: 1, At: at(98 * time.Second),
			Window: breaker.WindowCounts{Calls: 10, Failures: 6, Slow: 10, Run: 6}, Wait: 30 * time.Second, Openings: 1,
		},
		{
			Key: breaker.Key{Upstream: "ratings"}, Edge: breaker.Edge{From: breaker.Closed, To: breaker.Open, Reason: breaker.FailureRate}, Mode: breaker.MetricsOnly,
			Sequence: 1, Generation: 1, At: at(85 * time.Second), Window: breaker.WindowCounts{Calls: 50, Failures: 40}, Wait: 30 * time.Second, Openings: 1,
		},
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
				ID: "shop-2", Cluster: "shop", Version: "1.36.2", ConnectedSince: start.Add(2 * time.Second), Outdated: true, Duplicate: true,
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
	return New(Options{Breakers: func(dst []breaker.Status) []breaker.Status {
		for i, s := range states {
			dst = append(dst, breaker.Status{Key: breaker.Key{Upstream: fmt.Sprintf("u%d", i+1)}, Config: new(breaker.DefaultConfig()), State: s})
		}
		return dst
	}})
}

// these are statuses that stay as they are, each with the default config where it has none.
func these(statuses ...breaker.Status) func([]breaker.Status) []breaker.Status {
	c := breaker.DefaultConfig()
	for i := range statuses {
		if statuses[i].Config == nil {
			statuses[i].Config = &c
		}
	}
	return func(dst []breaker.Status) []breaker.Status { return append(dst, statuses...) }
}
