package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// callEvery is the time between two callers of a dead service: they are some 20 a second.
const callEvery = 50 * time.Millisecond

// death is a way for a service to be dead, and how its breaker opens by the default rules: five
// failures in a row, half of ten calls or more that fail, or all of ten or more that take 2 s. A call may
// take 10 s.
type death struct {
	name             string
	dialect          dialect
	service, caller  string // scripts
	within           time.Duration
	adaptive, inline string // the reason, with "|" between the possibilities
}

const (
	inARow = "consecutive_failures"
	rate   = "failure_rate"
	slow   = "slow_call_rate"
)

// deaths are all that is wrong with services that do not work. Usual callers give up after 3 s;
// patient ones wait for as long as it takes.
var deaths = []death{
	{"refused", http1, "refused", "leave:3s", 4 * time.Second, inARow, inARow},
	{"reset", http1, "read reset", "leave:3s", 4 * time.Second, inARow, inARow},
	{"closed", http1, "read close", "leave:3s", 4 * time.Second, inARow, inARow},
	{"503", http1, "read 503 send:100", "leave:3s", 4 * time.Second, inARow, inARow},
	{"hangs", http1, "read hang", "leave:3s", 8 * time.Second, slow, slow},
	{"hangs-for-the-patient", http1, "read hang", "", 15 * time.Second, inARow + "|" + slow, inARow + "|" + slow},
	{"breaks-off", http1, "read length:1000 200 send:100 reset", "leave:3s", 4 * time.Second, inARow, inARow + "|" + rate},
	{"hangs-after-headers", http1, "read 200 send:100 hang", "", 15 * time.Second, inARow, inARow + "|" + rate},
	{"slow", http1, "read after:2.5s 200 send:100", "leave:3s", 8 * time.Second, slow, slow},
	{"unavailable", grpcs, "read grpc:14", "deadline:3s", 4 * time.Second, inARow, inARow},
	{"grpc-hangs", grpcs, "read hang", "deadline:3s", 8 * time.Second, slow, slow},
	{"grpc-breaks-off", bareGRPC, "read 200 send:100 reset", "deadline:3s", 4 * time.Second, inARow, inARow},
}

// dying is a way of being dead in one data path.
type dying struct {
	death
	key, reason string
	took        time.Duration // until it opened
	moved       *moved        // nil: it did not
}

// TestEachWayOfBeingDeadOpens: the default policy notices every one, in both data paths, and in
// time; all are dead at once.
func TestEachWayOfBeingDeadOpens(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	var all []*dying
	var documents strings.Builder
	for _, d := range deaths {
		all = append(all, &dying{death: d, key: d.name + "-a", reason: d.adaptive}, &dying{death: d, key: d.name + "-i", reason: d.inline})
		for _, path := range paths {
			documents.WriteString(s.documents(d.name+path.suffix, d.dialect, d.service, "dataPath: "+path.dataPath))
		}
	}
	s.begin(t, documents.String())
	transitions := s.follow(t)
	var wg sync.WaitGroup
	for _, d := range all {
		wg.Go(func() { d.callers(t.Context(), s, transitions) })
	}
	wg.Wait()

	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "breaker\topened after\tat most\treason\twant")
	counts := s.told(t)
	for _, d := range all {
		got, after := "it did not open: "+counts[d.key].Counts.String(), "-"
		if d.moved != nil {
			got, after = d.moved.Reason, d.took.Round(100*time.Millisecond).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", d.key, after, d.within, got, d.reason)
		if d.moved == nil || d.moved.To != "open" || !strings.Contains("|"+d.reason+"|", "|"+got+"|") {
			t.Errorf("%s: %s after %s, want %s within %s", d.key, got, after, d.reason, d.within)
		}
	}
	w.Flush()
	t.Logf("\n%s", table.String())
}

// callers call at their rate until the breaker has opened or is late.
func (d *dying) callers(ctx context.Context, s *scripted, transitions *follower) {
	ctx, cancel := context.WithTimeout(ctx, d.within)
	var wg sync.WaitGroup
	defer wg.Wait() // for those who wait, and are given up
	defer cancel()
	tick := time.NewTicker(callEvery)
	defer tick.Stop()
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if d.moved = transitions.first(d.key); d.moved != nil {
			d.took = d.moved.heard.Sub(began)
			return
		}
		wg.Go(func() { s.call(ctx, pair{dialect: d.dialect, host: d.key}, d.service, d.caller) })
	}
}
