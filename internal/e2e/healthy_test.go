package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// healthyFor is how long healthy traffic flows. On a busy machine it flows for longer, until there are enough calls.
var healthyFor = flag.Duration("healthy", 25*time.Second, "how long healthy traffic flows that must not open a breaker")

// enough is the number of calls of each kind that a breaker must count. The default rules need fewer: five in a row, or ten
// in all.
const enough = 12

// traffic is a kind of healthy calls.
type traffic struct {
	name    string
	dialect dialect
	service string        // script
	caller  string        // script
	callers int           // the number of callers; each makes one call after the other
	every   time.Duration // the shortest time between the beginnings of two calls of a caller
	sees    string        // the result that callers see, with "|" between several allowed ones
}

const now = 0 * time.Second // a caller begins its next call when the last has ended

// expired has the results that a caller can see when its deadline passes. The call is ended by the caller, by the proxy, or
// by the service, which resets a stream whose deadline has passed, with or without headers.
const expired = "DEADLINEEXCEEDED|UNAVAILABLE|INTERNAL"

// healthy has all kinds of healthy calls that were ever taken for failures. The timeout is 10 s, and a call is slow when it has
// taken 2 s.
var healthy = []traffic{
	{"plain", http1, "read 200 send:100", "", 2, 200 * time.Millisecond, "200"},
	{"websockets", http1, "101 drip:3s close", "upgrade", 4, now, "101"},
	{"websockets-left", http1, "101 drip:1m", "upgrade leave:3s", 4, now, "left"},
	{"event-streams", http1, "read events 200 drip:4s", "", 4, now, "200"},
	{"event-streams-cut", http1, "read events 200 drip:1m", "", 8, now, "200, cut"}, // the timeout cuts them
	{"uploads", http1, "read 200 send:100", "upload:2.5s", 3, now, "200"},
	{"uploads-of-any-length", http1, "read 200 send:100", "upload:2.5s chunked", 3, now, "200"},
	{"slow-readers", http1, "read 200 send:4MiB", "slowly:45ms", 5, now, "200"},
	{"slow-readers-cut", http1, "read 200 send:16MiB", "slowly:300ms hurry:10s", 8, now, "200, cut"}, // the timeout cuts them
	{"hedged", http1, "read after:50ms 200 | read hang", "hedged", 1, 200 * time.Millisecond, "200 left"},
	{"impatient", http1, "read after:8s 200", "leave:100ms", 1, 200 * time.Millisecond, "left"},

	{"grpc-plain", grpcs, "read 200 send:100", "", 2, 200 * time.Millisecond, "OK"},
	{"grpc-both-ways", grpcs, "200 drip:3s read", "upload:3s", 4, now, "OK"},
	{"grpc-streams", grpcs, "read 200 drip:4s", "", 4, now, "OK"},
	{"grpc-streams-cut", grpcs, "read 200 drip:1m", "", 8, now, "INTERNAL"}, // the timeout cuts them
	{"grpc-uploads", grpcs, "read 200 send:100", "upload:2.5s", 3, now, "OK"},
	{"grpc-hedged", grpcs, "read after:50ms 200 | read hang", "hedged", 1, 200 * time.Millisecond, "OK left"},
	{"grpc-impatient", grpcs, "read after:8s 200", "leave:100ms", 1, 200 * time.Millisecond, "left"},
	// The deadline of the caller is shorter than the service's time, or hardly longer.
	{"grpc-5ms-for-1ms", grpcs, "read after:1ms 200 send:100", "deadline:5ms", 1, 100 * time.Millisecond, "OK|" + expired},
	{"grpc-5ms-for-40ms", grpcs, "read after:40ms 200 send:100", "deadline:5ms", 1, 100 * time.Millisecond, expired},
	{"grpc-25ms-for-1ms", grpcs, "read after:1ms 200 send:100", "deadline:25ms", 1, 100 * time.Millisecond, "OK|" + expired},
	{"grpc-25ms-for-40ms", grpcs, "read after:40ms 200 send:100", "deadline:25ms", 1, 100 * time.Millisecond, expired},
}

// trafficTo is traffic of one kind to one host.
type trafficTo struct {
	traffic
	host string
	mu   sync.Mutex     // guards saw
	saw  map[string]int // the number of calls with each result
}

// TestHealthyTrafficNeverOpens shows that no kind of healthy traffic opens a breaker with the default policy, in both data
// paths. Each kind flows to a breaker of its own, and all kinds of a protocol also flow to one breaker together.
func TestHealthyTrafficNeverOpens(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	var documents strings.Builder
	var kinds []*trafficTo
	for _, path := range paths {
		field := "dataPath: " + path.dataPath
		for _, d := range []dialect{http1, grpcs} {
			documents.WriteString(s.documents("all-"+d.name+path.suffix, d, "", field))
		}
		for _, k := range healthy {
			documents.WriteString(s.documents(k.name+path.suffix, k.dialect, "", field))
			for _, host := range []string{k.name, "all-" + k.dialect.name} {
				kinds = append(kinds, &trafficTo{traffic: k, host: host + path.suffix, saw: map[string]int{}})
			}
		}
	}
	last := marker.expand()[1]
	documents.WriteString(s.documents(last.key(), last.dialect, last.service, last.fields()...))
	s.begin(t, documents.String())
	transitions := s.follow(t)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for _, k := range kinds {
		for range k.callers {
			wg.Go(func() { k.flow(ctx, s) })
		}
		pause(20*time.Millisecond, ctx.Done()) // real callers do not all begin at once either
	}
	pause(*healthyFor, ctx.Done())
	eventually(t, "enough calls of each kind", func() error {
		for _, k := range kinds {
			if n := k.good(); n < enough && len(transitions.received()) == 0 { // after a transition, the test has failed anyway
				return fmt.Errorf("%s to %s: %d calls", k.name, k.host, n)
			}
		}
		return nil
	})
	cancel()
	wg.Wait()
	s.playAll(t, nil, last)
	for _, k := range kinds {
		k.check(t)
	}
	s.checkAlwaysClosed(t, transitions)
}

// flow makes calls until ctx ends, which also ends the last call.
func (k *trafficTo) flow(ctx context.Context, s *scripted) {
	for ctx.Err() == nil {
		next := time.NewTimer(k.every)
		var saw []string
		for _, one := range s.call(ctx, pair{k.dialect, k.name, k.host}, k.service, k.caller) {
			saw = append(saw, one.result)
		}
		if ctx.Err() == nil {
			k.mu.Lock()
			k.saw[strings.Join(saw, " ")]++
			k.mu.Unlock()
		}
		select {
		case <-next.C:
		case <-ctx.Done():
		}
		next.Stop()
	}
}

// good returns the number of calls that have ended with an allowed result.
func (k *trafficTo) good() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, saw := range strings.Split(k.sees, "|") {
		n += k.saw[saw]
	}
	return n
}

// check fails the test if a call has ended with another result.
func (k *trafficTo) check(t *testing.T) {
	t.Helper()
	for saw, n := range k.saw {
		if !slices.Contains(strings.Split(k.sees, "|"), saw) {
			t.Errorf("%s to %s: %d callers saw %q, want %q", k.name, k.host, n, saw, k.sees)
		}
	}
	t.Logf("%-25s to %-25s %v", k.name, k.host, k.saw)
}

// checkAlwaysClosed fails the test if a breaker is not closed, or has not always been closed.
func (s *scripted) checkAlwaysClosed(t *testing.T, transitions *follower) {
	t.Helper()
	for _, tr := range transitions.received() {
		t.Errorf("%s: %s -> %s, %s", tr.Key, tr.From, tr.To, tr.Reason)
	}
	var list struct {
		Breakers []struct {
			Key, State     string
			Openings       int
			LastTransition json.RawMessage `json:"last_transition"`
			Counts         counts
		}
	}
	if err := json.Unmarshal([]byte(s.page(t, "/breakers")), &list); err != nil {
		t.Fatal(err)
	}
	for _, b := range list.Breakers {
		if b.State != "closed" || b.Openings != 0 || string(b.LastTransition) != "null" {
			t.Errorf("%s: %s after %d openings, the last transition is %s", b.Key, b.State, b.Openings, b.LastTransition)
		}
		t.Logf("%-30s %s", b.Key, b.Counts)
	}
	if want := 2*len(healthy) + 2*2 + 1; len(list.Breakers) != want {
		t.Errorf("%d breakers, want %d", len(list.Breakers), want)
	}
}
