package typical

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

// Start is the wall clock's time of instant 0. It is not in UTC, which output has to be.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("CET", 3600))

// Wall is the time of an instant.
func Wall(i breaker.Instant) time.Time { return Start.Add(time.Duration(i)) }

// at is the instant when d has passed.
func at(d time.Duration) breaker.Instant { return breaker.Instant(d) }

// Set returns a policy with default breakers for keys, in the data path Adaptive.
func Set(revision string, keys ...string) *policy.Set {
	set := &policy.Set{Revision: revision}
	for _, k := range slices.Sorted(slices.Values(keys)) {
		key, last := breaker.ParseKey(k), len(set.Upstreams)-1
		if last < 0 || set.Upstreams[last].Name != key.Upstream {
			set.Upstreams = append(set.Upstreams, &policy.Upstream{Name: key.Upstream})
			last++
		}
		u := set.Upstreams[last]
		u.Routes = append(u.Routes, policy.Route{Name: key.Route, Breaker: &policy.Breaker{Spec: Spec(k), DataPath: policy.Adaptive}})
	}
	return set
}

// Spec returns a breaker with the default rules.
func Spec(key string) breaker.Spec {
	return breaker.Spec{Key: breaker.ParseKey(key), Config: breaker.DefaultConfig(), Lease: 20 * time.Second}
}

// Policy is the policy that [Breakers] are about.
func Policy() *policy.Set {
	set := Set("5f3a", "catalog", "inventory", "payments", "payments/charge", "ratings", "reports", "search", "shut", "stock/list")
	for u, r := range set.Routes() {
		if r.Name == "charge" || u.Name == "inventory" {
			r.Breaker.DataPath = policy.Inline
		}
	}
	return set
}

// Refusals are errors of loads that were refused, by name: "refused" for the problems of a policy, and "failed" where
// there was no policy to read.
func Refusals() map[string]error {
	return map[string]error{
		"refused": fmt.Errorf("load policy: %w", policy.Diagnostics{
			{File: "shop.yaml", Line: 7, Col: 3, Path: "spec.breaker.successThreshold", Got: "0", Want: "a number from 1 to 1000000", Rule: "out-of-range"},
			{File: "stock.yaml", Got: "12 MB", Want: "at most 10 MB", Rule: "file-size"},
		}),
		"failed": errors.New("read policies: open /etc/breakwater: no such file or directory"),
	}
}
