package wire

import (
	"fmt"
	"testing"

	"breakwater.dev/breaker"
)

// TestRuntimeParts: the names of the parts are read back, and no other names are.
func TestRuntimeParts(t *testing.T) {
	seen := map[string]bool{}
	for want := range RuntimeParts {
		name := RuntimePart(want)
		if part, ok := ParseRuntimePart(name); part != want || !ok || seen[name] {
			t.Errorf("part %d is %q, which is read as %d, %t", want, name, part, ok)
		}
		seen[name] = true
	}
	for _, name := range []string{RuntimeLayer, "", "breakwater-16-of-16", "breakwater-00-of-32", "breakwater-0-of-16", "mine"} {
		if part, ok := ParseRuntimePart(name); ok {
			t.Errorf("%q is read as part %d", name, part)
		}
	}
}

// TestBreakersAreSpreadOverTheParts, so that a change of one breaker sends few others. All breakers of proxies are where the one for
// all proxies is.
func TestBreakersAreSpreadOverTheParts(t *testing.T) {
	const many = 1600
	for name, key := range map[string]func(i int) breaker.Key{
		"upstreams": func(i int) breaker.Key { return breaker.Key{Upstream: fmt.Sprintf("service-%d", i)} },
		"routes":    func(i int) breaker.Key { return breaker.Key{Upstream: "shop", Route: fmt.Sprintf("route-%d", i)} },
	} {
		var counts [RuntimeParts]int
		for i := range many {
			k := key(i)
			part := RuntimePartOf(k)
			counts[part]++
			if k.Node = "one"; RuntimePartOf(k) != part {
				t.Errorf("%s is in part %d, and not in %d", k, RuntimePartOf(k), part)
			}
		}
		for part, n := range counts {
			if n < many/RuntimeParts/2 || n > many/RuntimeParts*2 {
				t.Errorf("%s: part %d has %d of %d, want about %d", name, part, n, many, many/RuntimeParts)
			}
		}
	}
}
