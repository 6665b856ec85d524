package series

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"breakwater.dev/breaker"
)

// TestFallbacks: a rejected call is credited to the fallback at that time, and where copies
// are kept, as the proxies report it.
func TestFallbacks(t *testing.T) {
	var table Table
	key := breaker.Key{Upstream: "a"}
	apply := func(f Fallback) {
		table.Apply([]string{key.Upstream}, []*breaker.Spec{{Key: key}}, map[breaker.Key]Fallback{key: f})
	}
	wantLines := func(step string, rejected uint64, want ...string) {
		t.Helper()
		var out bytes.Buffer
		config := breaker.DefaultConfig()
		st := breaker.Status{Key: key, Config: &config}
		st.Counts.Rejected = rejected
		if err := table.Write(&out, []breaker.Status{st}, func(breaker.Instant) time.Time { return time.Time{} }); err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(out.String()) {
			if rest, ok := strings.CutPrefix(line, `circuit_breaker_rejected_total{fallback="`); ok {
				name, rest, _ := strings.Cut(rest, `"`)
				got = append(got, name+rest[strings.LastIndexByte(rest, ' '):len(rest)-1])
			}
		}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("%s: got %q, want %q", step, got, want)
		}
	}
	apply(Response)
	wantLines("a response", 3, "response 3")
	apply(Upstream)
	wantLines("not looked at since", 5, "response 5", "upstream 0")
	wantLines("taken over", 9, "response 5", "upstream 4")
	apply(Cached)
	table.ObserveAnswered(key, true, 2)
	wantLines("what was taken over before", 10, "response 5", "upstream 5", "cached 2")
	table.ObserveAnswered(key, false, 1)
	wantLines("by the logs", 20, "response 6", "upstream 5", "cached 2")
	apply(Response)
	wantLines("the last of the logs", 20, "response 6", "upstream 5", "cached 2")
	wantLines("a response again", 22, "response 8", "upstream 5", "cached 2")
	table.ObserveAnswered(breaker.Key{Upstream: "b"}, true, 1) // there is no such breaker
	wantLines("another's", 22, "response 8", "upstream 5", "cached 2")

	table = Table{}
	apply(Upstream)
	wantLines("from the start", 4, "response 0", "upstream 4")
}
