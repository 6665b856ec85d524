package httpapi

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"breakwater.dev/breaker"
)

// TestEveryConfigFieldIsShown: a field that is added to the breaker's Config has
// to appear in its JSON.
func TestEveryConfigFieldIsShown(t *testing.T) {
	text := func(c breaker.Config) string {
		b, err := json.Marshal(describeConfig(&c))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	before := text(breaker.DefaultConfig())
	for i := range reflect.TypeFor[breaker.Config]().NumField() {
		c := breaker.DefaultConfig()
		switch f := reflect.ValueOf(&c).Elem().Field(i); {
		case f.CanInt():
			f.SetInt(f.Int() + int64(time.Second))
		case f.CanUint():
			f.SetUint(f.Uint() + 1)
		default:
			t.Fatalf("field %s is of a kind that this test does not know", reflect.TypeFor[breaker.Config]().Field(i).Name)
		}
		if text(c) == before {
			t.Errorf("%s is not shown", reflect.TypeFor[breaker.Config]().Field(i).Name)
		}
	}
}

// TestTransitionOfTheState: the last transition in an answer is the one that led to the state beside it. A breaker changes its state
// shortly before its transition is delivered.
func TestTransitionOfTheState(t *testing.T) {
	key := breaker.Key{Upstream: "stock"}
	one, two := key, key
	one.Node, two.Node = "one", "two"
	for name, tt := range map[string]struct {
		status breaker.Status
		last   breaker.Transition
		want   bool
	}{
		"its own":              {breaker.Status{Key: key, Sequence: 2}, breaker.Transition{Key: key, Sequence: 2}, true},
		"not delivered":        {breaker.Status{Key: key, Sequence: 2}, breaker.Transition{Key: key, Sequence: 1}, false},
		"of a later state":     {breaker.Status{Key: key, Sequence: 2}, breaker.Transition{Key: key, Sequence: 3}, false},
		"a proxy's":            {breaker.Status{Key: one, Sequence: 2}, breaker.Transition{Key: one, Sequence: 2}, true},
		"another proxy's":      {breaker.Status{Key: one, Sequence: 2}, breaker.Transition{Key: two, Sequence: 2}, false},
		"one proxy's of a sum": {breaker.Status{Key: key, Nodes: 2}, breaker.Transition{Key: two, Sequence: 7}, true},
	} {
		if got := ledTo(&tt.last, &tt.status); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
	}
}
