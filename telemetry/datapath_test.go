package telemetry

import (
	"testing"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

// TestDataPath: it is that of the breaker in the policy in force, whichever proxy's it is.
func TestDataPath(t *testing.T) {
	tel := New(Options{})
	check := func(key, want string) {
		t.Helper()
		if got := tel.dataPath(breaker.ParseKey(key)); got != want {
			t.Errorf("%s: data path %q, want %q", key, got, want)
		}
	}
	check("a", "")
	set := setOf("1", "a", "a/list", "b/list", "d")
	charge := &policy.Breaker{Spec: specOf("a/charge"), DataPath: policy.Inline}
	a := set.Upstreams[0]
	// A route that no policy targets shares the breaker of another, or has none.
	a.Routes = append([]policy.Route{{Name: "bare"}, {Name: "charge", Breaker: charge}, {Name: "refund", Breaker: a.Routes[0].Breaker}}, a.Routes...)
	tel.Apply(set, start)
	for key, want := range map[string]string{
		"a": "Adaptive", "a@shop-1": "Adaptive", "a/list": "Adaptive", "a/charge": "Inline", "a/charge@shop-1": "Inline",
		"a/bare": "", "a/refund": "", "b": "", "b/list": "Adaptive", "c": "", "d": "Adaptive", "e": "", "": "",
	} {
		check(key, want)
	}
	tel.Apply(setOf("2", "b"), start)
	check("a", "")
	check("b", "Adaptive")
	check("b/list", "")
}
