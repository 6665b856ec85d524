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

// counts are what a breaker has been told of its calls.
type counts struct{ Successes, Failures, Timeouts, Slow, Ignored int }

// countsOf reads "success slow", or "success + ignored" of two calls. A timeout is a failure too.
func countsOf(text string) counts {
	var c counts
	words := map[string][]*int{"success": {&c.Successes}, "failure": {&c.Failures}, "timeout": {&c.Failures, &c.Timeouts},
		"slow": {&c.Slow}, "ignored": {&c.Ignored}, "+": {}}
	for _, w := range strings.Fields(text) {
		fields, ok := words[w]
		if !ok {
			panic(fmt.Sprintf("%q counts as nothing", w))
		}
		for _, f := range fields {
			*f++
		}
	}
	return c
}

// String says the same in words.
func (c counts) String() string {
	var said []string
	for _, w := range []struct {
		n    int
		word string
	}{{c.Successes, "success"}, {c.Failures - c.Timeouts, "failure"}, {c.Timeouts, "timeout"}, {c.Ignored, "ignored"}, {c.Slow, "slow"}} {
		switch {
		case w.n == 1:
			said = append(said, w.word)
		case w.n != 0:
			said = append(said, fmt.Sprintf("%d %s", w.n, w.word))
		}
	}
	if said == nil {
		return "nothing"
	}
	return strings.Join(said, " ")
}

// since is what has come since it was before.
func (c counts) since(before counts) counts {
	return counts{c.Successes - before.Successes, c.Failures - before.Failures, c.Timeouts - before.Timeouts,
		c.Slow - before.Slow, c.Ignored - before.Ignored}
}

// told is what a test of endings reads of a breaker.
type told struct {
	Key      string
	State    string
	InFlight int `json:"in_flight"`
	Counts   counts
}

// told reads all breakers, by key.
func (s *scripted) told(t *testing.T) map[string]told {
	t.Helper()
	var list struct{ Breakers []told }
	if err := json.Unmarshal([]byte(s.page(t, "/breakers")), &list); err != nil {
		t.Fatal(err)
	}
	all := map[string]told{}
	for _, b := range list.Breakers {
		all[b.Key] = b
	}
	return all
}

// played is a row in one dialect and one data path.
type played struct {
	ending
	name, suffix string
	dialect      dialect
	before, got  counts // of its breaker before the call, and since
	seen         []seen
}

// key is that of its breaker, and the host of its calls.
func (p *played) key() string { return p.name + p.suffix }

// marker is the row whose call is made when all others have ended. In the data path Inline its
// failure is told last of all, by the log, and in the order of the log.
var marker = ending{"marker", []dialect{http1}, "", "read 200 send:100 reset", "", "failure"}

// shortest is the shortest deadline that a service which answers at once has to be able to meet. It
// is tried again and again when the machine has nothing else to do.
var shortest = ending{"deadline-of-5ms", anyGRPC, "", "read 200 send:100", "deadline:5ms", ""}

// expand makes the row's parts: one for each dialect and data path.
func (e ending) expand() []*played {
	var parts []*played
	for _, d := range e.over {
		for _, path := range paths {
			parts = append(parts, &played{ending: e, name: e.name + "-" + d.name, suffix: path.suffix, dialect: d})
		}
	}
	return parts
}

// fields are the policy's, with the usual ones where the row has no others.
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

// judge takes what has been counted since the call began.
func (p *played) judge(all map[string]told) { p.got = all[p.key()].Counts.since(p.before) }

// play makes the row's call, or its calls.
func (p *played) play(ctx context.Context, s *scripted) {
	p.seen = s.call(ctx, pair{dialect: p.dialect, host: p.key()}, p.service, p.caller)
}

// TestEndings plays every row of the table in both data paths, through one proxy, all at once,
// and compares what their breakers have counted.
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
	// A proxy that has no answer in time lets a call through that nobody counts. When the machine
	// stood still for so long, what is wrong may be right the next time.
	for unheard := 0; len(wrong) > 0 && s.unheard(t) > unheard; {
		unheard = s.unheard(t)
		t.Logf("%d calls did not wait for the control plane; %d rows are played again:\n%s", unheard, len(wrong), table(wrong))
		s.playAll(t, wrong, last)
		wrong = s.judge(t, wrong)
	}
	if len(wrong) > 0 {
		t.Errorf("%d of %d are wrong:\n%s", len(wrong), len(rows)+len(connections.rows), table(wrong))
	}
	for _, p := range quick {
		eventually(t, p.key()+" is met", func() error {
			if p.play(t.Context(), s); p.seen[0].what != "OK" {
				return fmt.Errorf("%v", p.seen)
			}
			return nil
		})
	}
}

// playAll plays rows, and waits until all that becomes of them is counted. That nothing comes later
// is no guess: the proxy has one worker, so its log is in order, and the last call, which is made
// when all others have ended, comes last in it. What is not in the log is told while a permit is held.
func (s *scripted) playAll(t *testing.T, rows []*played, last *played) {
	t.Helper()
	all := s.told(t)
	for _, p := range slices.Concat(rows, []*played{last}) {
		p.before = all[p.key()].Counts
	}
	var wg sync.WaitGroup
	tick := time.NewTicker(8 * time.Millisecond) // all in one moment would be slow, and count as that
	defer tick.Stop()
	for _, p := range rows {
		<-tick.C
		wg.Go(func() { p.play(t.Context(), s) })
	}
	wg.Wait()
	last.play(t.Context(), s)
	eventually(t, "all is counted", func() error {
		all := s.told(t)
		if last.judge(all); last.got != countsOf(last.counts) {
			return fmt.Errorf("of the last call there is %s, its caller saw %v", last.got, last.seen)
		}
		for key, b := range all {
			if b.InFlight != 0 {
				return fmt.Errorf("a permit of %s is held", key)
			}
		}
		return nil
	})
}

// judge returns the rows that have not counted as they are to.
func (s *scripted) judge(t *testing.T, rows []*played) (wrong []*played) {
	t.Helper()
	all := s.told(t)
	for _, p := range rows {
		stayed := planOf(p.caller).leaves && p.seen[0].what != "left" // then the row shows nothing
		if p.judge(all); p.got != countsOf(p.counts) || stayed {
			wrong = append(wrong, p)
		}
		if testing.Verbose() {
			t.Logf("%-50s %-20s %v", p.key(), p.got, p.seen)
		}
	}
	return wrong
}

// table shows rows.
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
