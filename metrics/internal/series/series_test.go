package series

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"breakwater.dev/breaker"
)

func wall(i breaker.Instant) time.Time { return time.Unix(0, int64(i)) }

func specs(n int) []breaker.Spec {
	s := make([]breaker.Spec, n)
	for i := range s {
		s[i].Key = breaker.Key{Upstream: fmt.Sprintf("service-%06d", i), Route: "checkout"}
	}
	return s
}

// pointers returns the same specs by pointers.
func pointers(specs []breaker.Spec) []*breaker.Spec {
	all := make([]*breaker.Spec, len(specs))
	for i := range specs {
		all[i] = &specs[i]
	}
	return all
}

// heap is how many bytes are reachable.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // the first leaves what pools hold
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMemory: a breaker that has had calls keeps at most 450 bytes here, together with its part
// of the space in which scrapes have their snapshot.
func TestMemory(t *testing.T) {
	const n = 100_000
	breakers := specs(n)
	before := heap()
	var table Table
	table.Apply(nil, pointers(breakers), nil)
	for i := range breakers {
		table.ObserveCalls(breakers[i].Key, time.Second, 1)
	}
	kept := (heap() - before) / n
	scrape := uint64(unsafe.Sizeof(breaker.Status{}) + unsafe.Sizeof((*series)(nil)))
	if kept+scrape > 450 {
		t.Errorf("%d bytes are kept for each breaker, and %d for its status in a scrape; must be at most 450", kept, scrape)
	}
	if table.find(breakers[0].Key) == nil {
		t.Error("the table is gone")
	}
	runtime.KeepAlive(breakers)
}

func (t *Table) find(key breaker.Key) *series { return t.all().find(&key) }

// TestManyRoutes: a breaker is found among the routes of its upstream, whatever
// their order in the policy, and no other is.
func TestManyRoutes(t *testing.T) {
	var list []breaker.Spec
	for _, route := range []string{"m", "", "zz", "a", "z", "b"} {
		list = append(list, breaker.Spec{Key: breaker.Key{Upstream: "u", Route: route}})
	}
	var table Table
	if got := table.find(list[0].Key); got != nil {
		t.Errorf("an empty table has %v", got)
	}
	table.Apply(nil, pointers(list), nil)
	for _, s := range list {
		table.ObserveTransition(breaker.Transition{Key: s.Key})
		if got := table.Last(s.Key); got == nil || got.Key != s.Key {
			t.Errorf("%v: found %v", s.Key, got)
		}
	}
	for _, key := range []breaker.Key{{Upstream: "u", Route: "c"}, {Upstream: "u", Route: "zzz"}, {Upstream: "v"}, {}} {
		if got := table.find(key); got != nil {
			t.Errorf("%v: found %v", key, got)
		}
	}
}

// TestLast: the last transition of a key, whichever proxy's it was.
func TestLast(t *testing.T) {
	var table Table
	table.Apply(nil, pointers(specs(2)), nil)
	key := specs(2)[0].Key
	if got := table.Last(key); got != nil {
		t.Errorf("before any: %v", got)
	}
	for i, node := range []string{"", "proxy-1", "proxy-2"} {
		k := key
		k.Node = node
		table.ObserveTransition(breaker.Transition{Key: k, Sequence: uint64(i)})
		if got := table.Last(key); got == nil || got.Key != k || got.Sequence != uint64(i) {
			t.Errorf("after that of %q: %v", node, got)
		}
	}
	for _, other := range []breaker.Key{specs(2)[1].Key, {Upstream: "nothing"}} {
		if got := table.Last(other); got != nil {
			t.Errorf("%v: %v", other, got)
		}
	}
}

// TestEveryFamily writes each metric once, in order of names, and none without breakers.
func TestEveryFamily(t *testing.T) {
	var table Table
	var out bytes.Buffer
	statuses := []breaker.Status{{
		Key: specs(1)[0].Key, Config: &breaker.Config{}, State: breaker.Open, Window: breaker.WindowCounts{Calls: 1},
		Episode: &breaker.Episode{Cause: &breaker.Transition{}},
	}}
	if err := table.Write(&out, statuses, wall); err != nil || out.Len() > 0 {
		t.Errorf("without breakers: %q, %v", out.String(), err)
	}
	table.Apply(nil, pointers(specs(1)), nil)
	if err := table.Write(&out, statuses, wall); err != nil {
		t.Fatal(err)
	}
	rest := out.String()
	for _, f := range families {
		before, after, found := strings.Cut(rest, f.head)
		if !found || strings.Contains(before, "# ") {
			t.Fatalf("%q is not next in\n%s", f.head, rest)
		}
		if !strings.HasPrefix(after, prefix) {
			t.Errorf("%q has no sample", f.head)
		}
		rest = after
	}
}

// TestWriteAllocates next to nothing once there is space, however many breakers there are.
func TestWriteAllocates(t *testing.T) {
	const n = 1000
	var table Table
	table.Apply(nil, pointers(specs(n)), nil)
	statuses := make([]breaker.Status, n)
	config := breaker.DefaultConfig()
	for i, s := range specs(n) {
		statuses[i] = breaker.Status{Key: s.Key, Config: &config, Window: breaker.WindowCounts{Calls: 30, Failures: 7}}
	}
	got := testing.AllocsPerRun(50, func() {
		if err := table.Write(io.Discard, statuses, wall); err != nil {
			t.Fatal(err)
		}
	})
	if got > n/100 {
		t.Errorf("%v allocations for %d breakers", got, n)
	}
}

// TestModeAndEpisode: the mode has one series for each breaker, which names what decides; the beginning of an episode
// has one while it goes on.
func TestModeAndEpisode(t *testing.T) {
	var table Table
	table.Apply(nil, pointers(specs(1)), nil)
	key := specs(1)[0].Key
	labels := fmt.Sprintf(`route="%s",service="%s"} `, key.Route, key.Upstream)
	trip := &breaker.Episode{Cause: &breaker.Transition{Edge: breaker.Edge{Reason: breaker.SlowCallRate}, At: breaker.Instant(1500 * time.Millisecond)}}
	held := &breaker.Override{State: breaker.Open}
	for _, tt := range []struct {
		mode     breaker.Mode
		state    breaker.State
		override *breaker.Override
		episode  *breaker.Episode
		want     []string
	}{
		{breaker.Enforce, breaker.Closed, nil, trip, []string{`mode{mode="Enforce",` + labels + "1"}},
		{breaker.MetricsOnly, breaker.Open, nil, trip, []string{`episode_start_timestamp_seconds{reason="slow_call_rate",` + labels, `mode{mode="MetricsOnly",` + labels + "1"}},
		{breaker.MetricsOnly, breaker.Open, held, nil, []string{`mode{mode="ForcedOpenByHand",` + labels + "1"}},
		{breaker.Disabled, breaker.Closed, nil, nil, []string{`mode{mode="Disabled",` + labels + "1"}},
	} {
		var out bytes.Buffer
		if err := table.Write(&out, []breaker.Status{{Key: key, Config: &breaker.Config{Mode: tt.mode}, State: tt.state, Override: tt.override, Episode: tt.episode}}, wall); err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(out.String()) {
			if name := strings.TrimPrefix(line, prefix); strings.HasPrefix(name, "mode{") || strings.HasPrefix(name, "episode_") {
				got = append(got, name)
			}
		}
		if len(got) != len(tt.want) {
			t.Fatalf("%s: %q, want %q", tt.mode, got, tt.want)
		}
		for i := range got {
			if !strings.HasPrefix(got[i], tt.want[i]) {
				t.Errorf("%s: %q, want %q", tt.mode, got[i], tt.want[i])
			}
		}
	}
}
