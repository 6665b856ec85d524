package typical

import (
	"time"

	"breakwater.dev/breaker"
)

// Breakers appends the status of every breaker to dst. It does not have "reports", which is in the policy, and has
// "retired", which is not: as while a new policy is being taken.
func Breakers(dst []breaker.Status) []breaker.Status {
	c := breaker.DefaultConfig()
	fine, watched, shut := c, c, c
	fine.FailureRateThreshold, fine.WindowDuration = 2525, 90*time.Second
	fine.BackoffMultiplier, fine.BackoffJitter, fine.RampDuration = 150, 1000, time.Minute
	watched.Mode, watched.WindowSize = breaker.MetricsOnly, 50
	shut.Mode = breaker.ForcedOpen
	trip := ChargeTrip()
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
			Key: breaker.Key{Upstream: "ratings"}, Config: &watched, State: breaker.Open, Sequence: 1, Since: at(85 * time.Second), RetryAfter: 15 * time.Second,
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
			Key: breaker.Key{Upstream: "stock", Route: "list", Node: "shop-2"}, Config: &c, State: breaker.Open, Sequence: 1, Since: at(98 * time.Second), RetryAfter: 28 * time.Second,
			Window: breaker.WindowCounts{Calls: 6, Failures: 6}, Counts: breaker.Counts{Requests: 8, Rejected: 2, Failures: 6}, LastFailure: at(98 * time.Second),
		},
		breaker.Status{Key: breaker.Key{Upstream: "retired"}, Config: &c, Admits: breaker.Whole},
	)
}
