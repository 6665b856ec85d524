package typical

import (
	"time"

	"breakwater.dev/breaker"
)

// ChargeTrip is the transition that made payments/charge open.
func ChargeTrip() breaker.Transition {
	return breaker.Transition{
		Key: breaker.Key{Upstream: "payments", Route: "charge"}, Edge: breaker.Edge{From: breaker.Closed, To: breaker.Open, Reason: breaker.ConsecutiveFailures},
		Sequence: 1, Generation: 1, At: at(80*time.Second + 250*time.Millisecond),
		Window: breaker.WindowCounts{Calls: 7, Failures: 5, Slow: 5, Run: 5}, Wait: 30 * time.Second, Openings: 2,
	}
}

// inventoryTrip is the transition after which inventory is not closed.
func inventoryTrip() breaker.Transition {
	return breaker.Transition{
		Key: breaker.Key{Upstream: "inventory"}, Edge: breaker.Edge{From: breaker.Closed, To: breaker.Open, Reason: breaker.FailureRate},
		Sequence: 1, Generation: 1, At: at(60 * time.Second),
		Window: breaker.WindowCounts{Calls: 20, Failures: 11, Run: 2}, Wait: 30 * time.Second, Openings: 1,
	}
}

// Transitions are those that led to [Breakers], in order, and one of a breaker whose mode is MetricsOnly.
func Transitions() []breaker.Transition {
	return []breaker.Transition{
		inventoryTrip(),
		{
			Key: breaker.Key{Upstream: "search"}, Edge: breaker.Edge{From: breaker.Closed, To: breaker.Open, Reason: breaker.Forced},
			Sequence: 1, Generation: 1, At: at(70 * time.Second), By: "alice", Note: "index is being rebuilt, see <chat>", Until: at(670 * time.Second),
		},
		ChargeTrip(),
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
