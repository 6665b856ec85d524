package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// counts has the numbers of calls that a breaker has counted.
type counts struct{ Successes, Failures, Timeouts, Slow, Ignored int }

// countsOf reads a text such as "success slow", or "success + ignored" for two calls. A timeout is a failure too.
func countsOf(text string) counts {
	var c counts
	words := map[string][]*int{"success": {&c.Successes}, "failure": {&c.Failures}, "timeout": {&c.Failures, &c.Timeouts},
		"slow": {&c.Slow}, "ignored": {&c.Ignored}, "+": {}}
	for _, w := range strings.Fields(text) {
		fields, ok := words[w]
		if !ok {
			panic(fmt.Sprintf("%q is not a word for an outcome", w))
		}
		for _, f := range fields {
			*f++
		}
	}
	return c
}

// String returns the counts in the words of countsOf.
func (c counts) String() string {
	var parts []string
	for _, w := range []struct {
		n    int
		word string
	}{{c.Successes, "success"}, {c.Failures - c.Timeouts, "failure"}, {c.Timeouts, "timeout"}, {c.Ignored, "ignored"}, {c.Slow, "slow"}} {
		switch {
		case w.n == 1:
			parts = append(parts, w.word)
		case w.n != 0:
			parts = append(parts, fmt.Sprintf("%d %s", w.n, w.word))
		}
	}
	if parts == nil {
		return "nothing"
	}
	return strings.Join(parts, " ")
}

// since returns the calls that were counted after before.
func (c counts) since(before counts) counts {
	return counts{c.Successes - before.Successes, c.Failures - before.Failures, c.Timeouts - before.Timeouts,
		c.Slow - before.Slow, c.Ignored - before.Ignored}
}

// countedBreaker has the fields of a breaker on /breakers that tests of endings need.
type countedBreaker struct {
	Key      string
	State    string
	InFlight int `json:"in_flight"`
	Counts   counts
	Window   seenWindow
}

// counts reads all breakers, by key.
func (s *scripted) counts(t *testing.T) map[string]countedBreaker {
	t.Helper()
	var list struct{ Breakers []countedBreaker }
	if err := json.Unmarshal([]byte(s.page(t, "/breakers")), &list); err != nil {
		t.Fatal(err)
	}
	all := map[string]countedBreaker{}
	for _, b := range list.Breakers {
		all[b.Key] = b
	}
	return all
}

// played is a row of the table in one dialect and one data path.
type played struct {
	ending
	name, suffix string
	dialect      dialect
	before, got  counts // the counts of its breaker before the call, and since then
	seen         []seen
}

// key returns the key of the row's breaker, which is also the host of its calls.
func (p *played) key() string { return p.name + p.suffix }

// marker is a row whose call is made when all others have ended. In the data path Inline its failure is counted last of all,
// because it comes with the last entry of the log.
var marker = ending{"marker", []dialect{http1}, "", "read 200 send:100 reset", "", "failure"}

// shortest is a row with the shortest deadline that a service must be able to meet if it answers at once. It is tried again
// and again while the machine has nothing else to do.
var shortest = ending{"deadline-of-5ms", anyGRPC, "", "read 200 send:100", "deadline:5ms", ""}

// expand returns the row once for each of its dialects and data paths.
func (e ending) expand() []*played {
	var parts []*played
	for _, d := range e.over {
		for _, path := range paths {
			parts = append(parts, &played{ending: e, name: e.name + "-" + d.name, suffix: path.suffix, dialect: d})
		}
	}
	return parts
}

// fields returns the fields of the row's policy: its own ones, and the usual ones that it does not have.
func (p *played) fields() []string {
	path := map[string]string{}
	for _, way := range paths {
		path[way.suffix] = way.dataPath
	}
	fields := []string{"dataPath: " + path[p.suffix]}
	if p.policy != "" {
		fields = append(fields, strings.Split(p.policy, "; ")...)
	}
	for _, field := range usual {
		name, _, _ := strings.Cut(field, ":")
		if !slices.ContainsFunc(fields, func(own string) bool { return strings.HasPrefix(own, name+":") }) {
			fields = append(fields, field)
		}
	}
	return fields
}

// judge records the calls that were counted since the row's call began.
func (p *played) judge(all map[string]countedBreaker) { p.got = all[p.key()].Counts.since(p.before) }

// play makes the calls of the row.
func (p *played) play(ctx context.Context, s *scripted) {
	p.seen = s.call(ctx, pair{dialect: p.dialect, host: p.key()}, p.service, p.caller)
}

// TestEndings plays every row of the table in both data paths, all at once and through one proxy. It compares the counts of
// the rows' breakers with the table.
func TestEndings(t *testing.T) {
	s := newScripted(t)
	var rows []*played
	for _, e := range endings {
		rows = append(rows, e.expand()...)
	}
	last, quick := marker.expand()[1], shortest.expand()
	var documents strings.Builder
	for _, p := range slices.Concat(rows, quick, []*played{last}) {
		documents.WriteString(s.documents(p.key(), p.dialect, p.service, p.fields()...))
	}
	connections := newConnectionRows(t, s)
	documents.WriteString(connections.documents())
	s.begin(t, documents.String())

	began := time.Now()
	var wg sync.WaitGroup
	connections.play(t, &wg)
	s.playAll(t, rows, last)
	wg.Wait()
	connections.settle(t)
	wrong := slices.Concat(s.judge(t, rows), s.judge(t, connections.rows))
	t.Logf("%d rows, %d parts, in %s", len(endings), len(rows), time.Since(began))
	// A proxy that gets no answer in time lets the call pass, and no breaker counts it. If that has happened, because the
	// machine was too busy, the wrong rows are played again.
	for unanswered := 0; len(wrong) > 0 && s.unanswered(t) > unanswered; {
		unanswered = s.unanswered(t)
		t.Logf("%d calls did not wait for the control plane; %d rows are played again:\n%s", unanswered, len(wrong), table(wrong))
		s.playAll(t, wrong, last)
		wrong = s.judge(t, wrong)
	}
	if len(wrong) > 0 {
		t.Errorf("%d of %d are wrong:\n%s", len(wrong), len(rows)+len(connections.rows), table(wrong))
	}
	s.checkWindows(t, rows)
	for _, p := range quick {
		eventually(t, "the deadline of "+p.key()+" is met", func() error {
			if p.play(t.Context(), s); p.seen[0].result != "OK" {
				return fmt.Errorf("the caller saw %v", p.seen)
			}
			return nil
		})
	}
}

// playAll plays rows, and waits until all their calls are counted. It knows that no call is counted later: the proxy has one
// worker, so its log is in order, and the entry of the last call comes last, because this call is made when all others have
// ended. A call that is not in the log is counted before its permit is given back.
func (s *scripted) playAll(t *testing.T, rows []*played, last *played) {
	t.Helper()
	all := s.counts(t)
	for _, p := range slices.Concat(rows, []*played{last}) {
		p.before = all[p.key()].Counts
	}
	var wg sync.WaitGroup
	tick := time.NewTicker(8 * time.Millisecond) // all calls in one moment would be slow
	defer tick.Stop()
	for _, p := range rows {
		<-tick.C
		wg.Go(func() { p.play(t.Context(), s) })
	}
	wg.Wait()
	last.play(t.Context(), s)
	eventually(t, "all calls are counted", func() error {
		all := s.counts(t)
		if last.judge(all); last.got != countsOf(last.counts) {
			return fmt.Errorf("the last call counts as %s, and its caller saw %v", last.got, last.seen)
		}
		for key, b := range all {
			if b.InFlight != 0 {
				return fmt.Errorf("a call of %s still has its permit", key)
			}
		}
		return nil
	})
}

// judge returns the rows whose calls were not counted as the table says.
func (s *scripted) judge(t *testing.T, rows []*played) (wrong []*played) {
	t.Helper()
	all := s.counts(t)
	for _, p := range rows {
		stayed := planOf(p.caller).leaves && p.seen[0].result != "left" // the caller was too late, so the row shows nothing
		if p.judge(all); p.got != countsOf(p.counts) || stayed {
			wrong = append(wrong, p)
		}
		if testing.Verbose() {
			t.Logf("%-50s %-20s %v", p.key(), p.got, p.seen)
		}
	}
	return wrong
}

// checkWindows checks that the windows have the same calls as the totals. No breaker has changed its state, and no call has left
// its window. A call that was slow while it was in flight must not be there twice.
func (s *scripted) checkWindows(t *testing.T, rows []*played) {
	t.Helper()
	all := s.counts(t)
	for _, p := range rows {
		b := all[p.key()]
		least := b.Counts.Successes + b.Counts.Failures // and the calls that were slow when their callers left, which are ignored calls too
		if b.Window.Failures != b.Counts.Failures || b.Window.Slow != b.Counts.Slow || b.Window.Calls < least || b.Window.Calls > least+b.Counts.Ignored {
			t.Errorf("%s has %+v in its window, and counts %s", p.key(), b.Window, b.Counts)
		}
	}
}

// table returns rows as a table.
func table(rows []*played) string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "row\tpath\tgot\twant\tits caller saw")
	slices.SortFunc(rows, func(a, b *played) int { return strings.Compare(a.key(), b.key()) })
	for _, p := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%v\n", p.name, p.suffix, p.got, countsOf(p.counts), p.seen)
	}
	w.Flush()
	return text.String()
}
