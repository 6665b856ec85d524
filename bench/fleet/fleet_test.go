package main

import (
	"bytes"
	"math"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"breakwater.dev/bench/fleet/internal/fleet"
	"breakwater.dev/bench/fleet/internal/linear"
)

// built returns options for a short run with binaries that it builds from source.
func built(t *testing.T) options {
	t.Helper()
	dir := t.TempDir()
	o := options{
		binary: filepath.Join(dir, "breakwater"), self: filepath.Join(dir, "bench"), only: regexp.MustCompile(""),
		idle: 300 * time.Millisecond, beats: 300 * time.Millisecond, say: t.Logf,
	}
	for to, from := range map[string]string{o.binary: "cmd/controlplane", o.self: "bench/fleet"} {
		cmd := exec.Command("go", "build", "-o", to, ".")
		cmd.Dir = filepath.Join("..", "..", from)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", from, err, out)
		}
	}
	return o
}

// unmeasured are the steps that take no time until all proxies have something.
var unmeasured = map[string]bool{idle: true, touched: true, heartbeats: true}

// TestSteps: with a real control plane and with the linear caches, every proxy notices every step, and receives nothing where
// nothing has changed.
func TestSteps(t *testing.T) {
	t.Parallel()
	o := built(t)
	c := config{proxies: 4, upstreams: 120}
	ours, err := measureControl(t.Context(), o, "ours", o.binary, c)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := measurePeer(t.Context(), o, c, ours.recording)
	if err != nil {
		t.Fatal(err)
	}
	if len(ours.rows) != 15 || len(theirs.rows) != 5 {
		t.Errorf("%d and %d steps, want 15 and 5", len(ours.rows), len(theirs.rows))
	}
	for _, r := range []*result{ours, theirs} {
		for _, w := range r.rows {
			if math.IsNaN(w.seconds) != unmeasured[w.step] || w.counts.Again != 0 || w.counts.Lost != 0 || w.counts.Refused != 0 {
				t.Errorf("%s, %s: %s after %g s, counts %+v", r.server, w.step, w.note, w.seconds, w.counts)
			}
			if restarts := w.step == killed || w.step == killedOpen; restarts != (w.counts.Ended > 0) {
				t.Errorf("%s, %s: %d streams have ended", r.server, w.step, w.counts.Ended)
			}
		}
		if got := r.row(killed); got.counts.Resources != 0 {
			t.Errorf("%s: %d resources were sent to proxies that had all of them", r.server, got.counts.Resources)
		}
		if one, all := r.bytes(endpoint), r.bytes(firstSync); one <= 0 || one > all/100 {
			t.Errorf("%s: an endpoint takes %g bytes, all %d upstreams %g", r.server, one, c.upstreams, all)
		}
		if r.synced <= 0 || r.peak < r.synced || r.end <= 0 || r.ready <= 0 {
			t.Errorf("%s: %+v", r.server, r)
		}
	}
	for _, step := range []string{idle, touched} {
		if got := ours.row(step); got.counts.Responses != 0 {
			t.Errorf("%s: %d responses", step, got.counts.Responses)
		}
	}
}

// TestVariants: proxies that use the other variant of the protocol, that are slow, that refuse a cluster, or that list what
// they call, have every change too.
func TestVariants(t *testing.T) {
	o := built(t)
	for _, c := range []config{{proxies: 6, upstreams: 40, sotw: 1, slow: 1, refusing: 2}, {proxies: 6, upstreams: 60, list: 20}, {upstreams: 30}} {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			o := o
			o.say = t.Logf
			r, err := measureControl(t.Context(), o, "ours", o.binary, c)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range r.rows {
				if math.IsNaN(w.seconds) != unmeasured[w.step] || w.counts.Lost != 0 {
					t.Errorf("%s: %s after %g s, counts %+v", w.step, w.note, w.seconds, w.counts)
				}
			}
			if refused := r.counts.Refused > 0; refused != (c.refusing > 0) {
				t.Errorf("%d responses were refused", r.counts.Refused)
			}
			// A cluster and endpoints for each upstream that it lists, perhaps a virtual host, and not many others.
			if all := r.row(firstSync).counts.Resources / int64(max(c.proxies, 1)); c.list > 0 && (all < int64(2*c.list) || all > int64(4*c.list)) {
				t.Errorf("a proxy got %d resources in the first sync for a list of %d upstreams", all, c.list)
			}
		})
	}
}

// TestFailedSteps: a server that has ended, and a change that cannot be made, are errors and not figures.
func TestFailedSteps(t *testing.T) {
	o := built(t)
	o.binary = filepath.Join(t.TempDir(), "none")
	if _, err := measureControl(t.Context(), o, "ours", o.binary, config{proxies: 1, upstreams: 1}); err == nil {
		t.Error("a control plane that does not exist was measured")
	}
	p, err := newPeer(t.Context(), o.self)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := p.start([]linear.Resource{{TypeURL: "type.googleapis.com/unknown", Name: "x", Body: []byte{}}}); err == nil || !strings.Contains(err.Error(), "unknown") {
		t.Errorf("a resource of an unknown type gave the error %v", err)
	}
	if err := p.start(nil); err != nil {
		t.Fatal(err)
	}
	if err := linear.Change(t.Context(), p.admin, []linear.Resource{{TypeURL: "type.googleapis.com/unknown"}}); err == nil {
		t.Error("the linear caches took a resource of an unknown type")
	}
}

// made returns results whose figures are all different.
func made() []measured {
	result := func(server string, factor float64) *result {
		r := &result{server: server, ready: 9 * factor, load: factor, synced: int64(1e8 * factor), end: 3e8, peak: int64(2e8 * factor)}
		for i, step := range []string{firstSync, endpoint, timeout, added, removed, killed, "1000 breakers open at once"} {
			r.rows = append(r.rows, row{step: step, seconds: factor * float64(i+1) / 10, cpu: factor * float64(i+1) / 5, bytes: 100 * factor * float64(i+1)})
		}
		return r
	}
	return []measured{
		{config: reading, ours: result("ours", 1)},
		{config: config{upstreams: 5_000}, ours: result("ours", 0.5)},
		{config: config{proxies: 100, upstreams: 1_000}, ours: result("ours", 1), theirs: result("linear caches", 1)},
		{config: config{proxies: 1_000, upstreams: 1_000}, ours: result("ours", 10), theirs: result("linear caches", 1)},
		{config: config{proxies: 100, upstreams: 5_000}, ours: result("ours", 5), theirs: result("linear caches", 1)},
		{config: largest, before: result("before", 4), ours: result("ours", 2), theirs: result("linear caches", 4)},
		{config: listing, ours: result("ours", 1)},
	}
}

func TestTargets(t *testing.T) {
	var out bytes.Buffer
	all := made()
	all[0].ours.counts.Again = 3
	writeTargets(&out, all)
	for _, want := range []string{
		"1000 proxies, 5000 upstreams: one endpoint changes | <= 1 s | 0.40 s | met",
		"1000 proxies, 5000 upstreams: one timeout changes, CPU | <= 1 s | 1.20 s | missed by 1.20x",
		"1000 proxies, 5000 upstreams: an upstream added, bytes a proxy | <= 2000 B | 800 B | met",
		"1000 proxies, 5000 upstreams: memory | <= 1000 MB | 400 MB | met",
		"1000 proxies, 5000 upstreams: 1000 breakers open at once | <= 2 s | 1.40 s | met",
		"1000 proxies, 5000 upstreams: the same, bytes a proxy | <= 200000 B | 1400 B | met",
		"1000 proxies, 5000 upstreams: CPU of a change, to linear caches | <= 1 x | 0.50 x | met",
		"1000 proxies, 5000 upstreams: memory, to linear caches | <= 1 x | 0.50 x | met",
		"lists of 20 of 5000 upstreams: CPU of the costliest change | <= 0.3 s | 1.00 s | missed by 3.33x",
		"no proxies, 20000 upstreams: time to load | <= 10 s | 9.00 s | met",
		"no proxies, 20000 upstreams: CPU to reload one change | <= 0.3 s | 0.40 s | missed by 1.33x",
		"resources sent again that a proxy has | <= 0 | 3.00 | missed by 3",
	} {
		if got := regexp.MustCompile(` +\|`).ReplaceAllString(out.String(), " |"); !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, out.String())
		}
	}
}

// TestTargetsOfStepsThatFailed are missed, not met.
func TestTargetsOfStepsThatFailed(t *testing.T) {
	all := made()
	all[5].ours.row(endpoint).seconds = nan
	var out bytes.Buffer
	writeTargets(&out, all)
	if !regexp.MustCompile(`one endpoint changes +\| <= 1 s +\| \+Inf s +\| missed`).MatchString(out.String()) {
		t.Errorf("got\n%s", out.String())
	}
}

func TestGrowth(t *testing.T) {
	var out bytes.Buffer
	writeGrowth(&out, made())
	// From 100 to 1,000 proxies at 5,000 upstreams ours goes from 5 to 2, and from 1,000 to 5,000 upstreams from 10 to 2.
	if want := "| ours: first sync "; !strings.Contains(out.String(), want) || !strings.Contains(out.String(), "-0.40") || !strings.Contains(out.String(), "-1.00") {
		t.Errorf("got\n%s", out.String())
	}
	if got := exponent(1, 10, 100, 1_000); got != "1.00" {
		t.Errorf("ten times the cost for ten times as many has the exponent %s, want 1.00", got)
	}
	if got := exponent(0, 10, 100, 1_000); got != "-" {
		t.Errorf("a cost that is too small has the exponent %s", got)
	}
	out.Reset()
	writeGrowth(&out, made()[:3])
	if out.Len() > 0 {
		t.Errorf("there is growth from one configuration:\n%s", out.String())
	}
}

func TestPeer(t *testing.T) {
	var out bytes.Buffer
	writePeer(&out, made())
	got := regexp.MustCompile(` +\|`).ReplaceAllString(out.String(), " |")
	for _, want := range []string{
		"| 1000 proxies, 5000 upstreams | one endpoint changes | 0.50x | 0.38x |", // 0.8 s to 1.6 s; 0.2 s are for reading policies
		"| 1000 proxies, 5000 upstreams | first sync | 0.50x | 0.50x |",
		"| 1000 proxies, 5000 upstreams | killed and started again | 0.50x | 0.08x |", // 2.4 s, of which 2 s to load
		"| 1000 proxies, 5000 upstreams | most memory | 0.50x | |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in\n%s", want, got)
		}
	}
}

func TestConfigTable(t *testing.T) {
	var out bytes.Buffer
	m := made()[5]
	m.ours.row(timeout).note = "3 of 4 proxies lacked it"
	m.ours.counts = fleet.Counts{Lost: 7}
	writeConfig(&out, m)
	for _, want := range []string{"## 1000 proxies, 5000 upstreams", "before: s", "ours: s", "linear caches: s", "ours, one timeout changes: 3 of 4 proxies lacked it.", "| 7 "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in\n%s", want, out.String())
		}
	}
}

func TestApply(t *testing.T) {
	r := func(name, body string) linear.Resource {
		if body == "" {
			return linear.Resource{TypeURL: "t", Name: name}
		}
		return linear.Resource{TypeURL: "t", Name: name, Body: []byte(body)}
	}
	got := apply([]linear.Resource{r("b", "1"), r("a", "1"), r("c", "1")}, []linear.Resource{r("a", "2"), r("c", ""), r("d", "1")})
	if len(got) != 3 || got[0].Name != "a" || string(got[0].Body) != "2" || got[1].Name != "b" || got[2].Name != "d" {
		t.Errorf("got %v", got)
	}
}
