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

// callEvery is the time between two calls to a dead service. So there are 20 calls per second.
const callEvery = 50 * time.Millisecond

// death is a way in which a service does not work. Its breaker must open by one of the default rules: five failures in a
// row, failures of half of at least ten calls, or at least ten calls that all take 2 s. The timeout of a call is 10 s.
type death struct {
	name             string
	dialect          dialect
	service, caller  string        // scripts
	within           time.Duration // the breaker must be open by then
	adaptive, inline string        // the reason in each data path, with "|" between several allowed ones
}

const (
	inARow = "consecutive_failures"
	rate   = "failure_rate"
	slow   = "slow_call_rate"
)

// deaths are all ways in which a service does not work. Most callers give up after 3 s, and patient ones wait until the
// call ends.
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

// dying is a service that does not work, called in one data path.
type dying struct {
	death
	key, reason string
	took        time.Duration // the time until the breaker opened
	opened      *transition   // nil: the breaker did not open
}

// TestEachWayOfBeingDeadOpens shows that the default policy notices every service that does not work, in both data paths and
// in time. All services are called at once.
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
	counts := s.counts(t)
	for _, d := range all {
		got, after := "the breaker did not open: "+counts[d.key].Counts.String(), "-"
		if d.opened != nil {
			got, after = d.opened.Reason, d.took.Round(100*time.Millisecond).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", d.key, after, d.within, got, d.reason)
		if d.opened == nil || d.opened.To != "open" || !strings.Contains("|"+d.reason+"|", "|"+got+"|") {
			t.Errorf("%s: %s after %s, want %s within %s", d.key, got, after, d.reason, d.within)
		}
	}
	w.Flush()
	t.Logf("\n%s", table.String())
}

// callers makes calls at a fixed rate until the breaker has opened, or its time is over.
func (d *dying) callers(ctx context.Context, s *scripted, transitions *follower) {
	ctx, cancel := context.WithTimeout(ctx, d.within)
	var wg sync.WaitGroup
	defer wg.Wait() // for calls in flight, which end with ctx
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
		if d.opened = transitions.first(d.key); d.opened != nil {
			d.took = d.opened.received.Sub(began)
			return
		}
		wg.Go(func() { s.call(ctx, pair{dialect: d.dialect, host: d.key}, d.service, d.caller) })
	}
}
