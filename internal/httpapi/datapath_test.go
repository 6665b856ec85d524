package httpapi

import (
	"testing"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/typical"
	"breakwater.dev/policy"
)

// TestDataPath: the data path comes from the policy in force, also for the breaker of one proxy.
func TestDataPath(t *testing.T) {
	m := &mesh{}
	a := m.api()
	check := func(key, want string) {
		t.Helper()
		if got := a.dataPath(breaker.ParseKey(key)); got != want {
			t.Errorf("%s: data path %q, want %q", key, got, want)
		}
	}
	check("a", "")
	set := typical.Set("1", "a", "a/list", "b/list", "d")
	charge := &policy.Breaker{Spec: typical.Spec("a/charge"), DataPath: policy.Inline}
	first := set.Upstreams[0]
	// A route that no policy targets shares the breaker of another, or has none.
	first.Routes = append([]policy.Route{{Name: "bare"}, {Name: "charge", Breaker: charge}, {Name: "refund", Breaker: first.Routes[0].Breaker}}, first.Routes...)
	m.set = set
	for key, want := range map[string]string{
		"a": "Adaptive", "a@shop-1": "Adaptive", "a/list": "Adaptive", "a/charge": "Inline", "a/charge@shop-1": "Inline",
		"a/bare": "", "a/refund": "", "b": "", "b/list": "Adaptive", "c": "", "d": "Adaptive", "e": "", "": "",
	} {
		check(key, want)
	}
	m.set = typical.Set("2", "b")
	check("a", "")
	check("b", "Adaptive")
	check("b/list", "")
}
