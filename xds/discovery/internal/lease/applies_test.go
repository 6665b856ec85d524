package lease

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"breakwater.dev/gate"
	"breakwater.dev/wire"
)

// described writes periods as "0s ab, 15s b, 20s nothing": for each, which of two sets the proxy applies in parts 0 and 1.
func described(periods []Period, names map[*gate.Set]string) (all []string) {
	for _, p := range periods {
		text := "nothing"
		if p.Gates != nil {
			text = names[p.Gates[0]] + names[p.Gates[1]]
		}
		all = append(all, fmt.Sprintf("%s %s", p.From.Sub(at(0)), text))
	}
	return all
}

// TestPeriods: each part is applied until its own time is over, from the set by which the proxy has it.
func TestPeriods(t *testing.T) {
	a, b := gate.NewSet(nil, gate.LogFilter{}), gate.NewSet(nil, gate.LogFilter{})
	names := map[*gate.Set]string{a: "a", b: "b", nil: "-"}
	zero, one := wire.RuntimePart(0), wire.RuntimePart(1)
	take := func(l *Leases, set *gate.Set, seconds float64, ttls map[string]time.Duration) {
		l.Begin()
		var layers []string
		for name, ttl := range ttls {
			l.Sent(name, ttl, at(seconds))
			layers = append(layers, name)
		}
		l.Taken()
		l.Apply(layers, set)
	}
	for name, tt := range map[string]struct {
		before func(l *Leases)
		now    float64
		want   []string
	}{
		"nothing taken":       {func(*Leases) {}, 0, nil},
		"without keys":        {func(l *Leases) { take(l, a, 0, map[string]time.Duration{zero: 0, one: 0}) }, 1, []string{"1s aa"}},
		"together":            {func(l *Leases) { take(l, a, 0, map[string]time.Duration{zero: ttl, one: ttl}) }, 1, []string{"1s aa", "15s nothing"}},
		"one without keys":    {func(l *Leases) { take(l, a, 0, map[string]time.Duration{zero: ttl, one: 0}) }, 1, []string{"1s aa", "15s nothing"}},
		"one is brief":        {func(l *Leases) { take(l, a, 0, map[string]time.Duration{zero: ttl / 5, one: ttl}) }, 1, []string{"1s aa", "3s -a", "15s nothing"}},
		"the brief one is up": {func(l *Leases) { take(l, a, 0, map[string]time.Duration{zero: ttl / 5, one: ttl}) }, 3, []string{"3s -a", "15s nothing"}},
		"all are up":          {func(l *Leases) { take(l, a, 0, map[string]time.Duration{zero: ttl / 5, one: ttl}) }, 15, nil},
		"one changes": {func(l *Leases) {
			take(l, a, 0, map[string]time.Duration{zero: ttl, one: ttl})
			take(l, b, 2, map[string]time.Duration{one: ttl})
		}, 2, []string{"2s ab", "15s -b", "17s nothing"}},
		"the whole layer":         {func(l *Leases) { take(l, a, 0, map[string]time.Duration{wire.RuntimeLayer: ttl}) }, 1, []string{"1s aa", "15s nothing"}},
		"the whole layer is gone": {func(l *Leases) { take(l, a, 0, map[string]time.Duration{wire.RuntimeLayer: ttl}) }, 15, nil},
		"the whole layer and one part": {func(l *Leases) {
			take(l, a, 0, map[string]time.Duration{wire.RuntimeLayer: ttl})
			l.Begin()
			l.Sent(zero, ttl, at(1))
			l.Taken()
			l.Apply([]string{wire.RuntimeLayer, zero}, b)
		}, 1, []string{"1s bb", "15s b-", "16s nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			var l Leases
			tt.before(&l)
			if got := described(l.Periods(at(tt.now)), names); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestEqualMixesAreOne: renewals report the same gates at the same address.
func TestEqualMixesAreOne(t *testing.T) {
	set := gate.NewSet(nil, gate.LogFilter{})
	var l Leases
	var last *gate.Mix
	for i := range 3 {
		l.Begin()
		l.Sent(wire.RuntimePart(0), ttl, at(float64(i)))
		l.Taken()
		l.Apply([]string{wire.RuntimePart(0)}, set)
		now := l.Periods(at(float64(i)))[0].Gates
		if last != nil && now != last {
			t.Error("an equal mix is another one")
		}
		last = now
	}
}

// TestDue: one response renews the layers that are due, and those that are due soon.
func TestDue(t *testing.T) {
	var l Leases
	send := func(name string, ttl time.Duration, seconds float64) {
		l.Begin()
		l.Sent(name, ttl, at(seconds))
		l.Taken()
	}
	send("first", ttl, 0)
	send("soon", ttl, 2.5)
	send("later", ttl, 3)
	ttls := map[string]time.Duration{"first": ttl, "soon": ttl, "later": ttl}
	want := func(seconds float64, renew, again []string, next time.Duration) {
		t.Helper()
		gotRenew, gotAgain, gotNext := l.Due(ttls, at(seconds))
		slices.Sort(gotRenew)
		slices.Sort(gotAgain)
		if !slices.Equal(gotRenew, renew) || !slices.Equal(gotAgain, again) || gotNext != next {
			t.Errorf("at %v: renews %q, with content %q, next after %s; want %q, %q, %s", seconds, gotRenew, gotAgain, gotNext, renew, again, next)
		}
	}
	want(4, nil, nil, time.Second)
	want(5, []string{"first", "soon"}, nil, 0)
	want(10.5, []string{"later", "soon"}, []string{"first"}, -5500*time.Millisecond)
	ttls = nil
	want(20, nil, nil, 0)
}
