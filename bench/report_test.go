package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"breakwater.dev/bench/internal/measure"
	"breakwater.dev/bench/internal/peers"
)

// TestRun runs all measurements, too briefly for useful figures.
func TestRun(t *testing.T) {
	o := options{
		rounds: 2, cell: 200 * time.Microsecond, many: 20, most: 1000, scrapes: 2, quiet: 5 * time.Millisecond, seed: 1,
		say: func(string, ...any) {},
	}
	var out strings.Builder
	if err := run(o, &out); err != nil {
		t.Fatal(err)
	}
	report := out.String()
	for _, p := range peers.All() {
		if !strings.Contains(report, "| "+p.Label()+" ") {
			t.Errorf("there is no row of %s", p.Label())
		}
	}
	sections := strings.Split(report, "\n## ")
	if len(sections) != 5 {
		t.Fatalf("%d sections, want a head and 4 tables:\n%s", len(sections), report)
	}
	for i, want := range []int{len(peers.All()), 4, 7, 12} { // rows, below the two lines of the table's head
		if got := strings.Count(sections[i+1], "\n|") - 2; got != want {
			t.Errorf("%d rows, want %d:\n%s", got, want, sections[i+1])
		}
	}
	if got := strings.Count(sections[4], "| met ") + strings.Count(sections[4], "| missed by "); got != 12 {
		t.Errorf("%d verdicts, want 12:\n%s", got, sections[4])
	}
	if strings.Contains(report, "NaN") || strings.Contains(report, "Inf") {
		t.Errorf("something was not measured:\n%s", report)
	}
}

// TestTargetsUseTheRightFigures gives each figure another value, so that a mix-up shows.
func TestTargetsUseTheRightFigures(t *testing.T) {
	at := func(ns, ratio, extra float64) *measure.Timing {
		return &measure.Timing{NS: measure.Spread{Mid: ns}, Ratio: measure.Spread{Mid: ratio}, Extra: measure.Spread{Mid: extra}}
	}
	rows := []row{
		{label: "ours", timings: [columns]*measure.Timing{at(30, 1, 9), at(24, 1, 9), at(50, 1, 9), at(25, 1, 9), at(33, 1, 8)}, bytes: 500},
		{label: "theirs", timings: [columns]*measure.Timing{at(0, 3.1, 0), at(0, 4.2, 0), at(0, 5.3, 0), at(0, 6.4, 0), at(0, 7, 0)}, bytes: 1},
	}
	flat := []flatRow{{1, *at(30, 1, 0), measure.Timing{}}, {10, *at(80, 2.7, 0), *at(9, 9, 0)}, {100, *at(75, 2.5, 0), measure.Timing{}}}
	l := load{engine: 1, metrics: 2, scraped: 90e6, alone: scrapes{took: []time.Duration{1, 700 * time.Millisecond, 2e9}}}
	want := []float64{30, 0, 1.6, 3.1, 4.2, 5.3, 6.4, 8, 500, 2.7, 90, 0.7}
	got := targets(rows, flat, l)
	if len(got) != len(want) {
		t.Fatalf("%d targets, want %d", len(got), len(want))
	}
	for i, target := range got {
		if target.Measured != want[i] || target.Verdict() != "met" {
			t.Errorf("%s: measured %g, %s; want %g, met", target.What, target.Measured, target.Verdict(), want[i])
		}
	}
}

// spread returns quartiles.
func spread(low, mid, high float64) measure.Spread {
	return measure.Spread{Low: low, Mid: mid, High: high}
}

// TestComparisonNotesWrongCalls shows that there is a note if calls were admitted or rejected against the column's title,
// since the figure is then worth nothing.
func TestComparisonNotesWrongCalls(t *testing.T) {
	rows := []row{{label: "steady"}, {label: "erratic"}, clockRow(24, 12)}
	rows[0].timings[oneGoroutine] = &measure.Timing{NS: spread(1, 2, 3), Ratio: spread(1, 1, 1), Wrong: tolerable}
	rows[1].timings[oneGoroutine] = &measure.Timing{NS: spread(100, 200, 300), Ratio: spread(0.5, 12.34, 456.7), Wrong: 0.02}
	var out strings.Builder
	writeComparison(&out, options{many: 7}, rows)
	got := out.String()
	for _, want := range []string{"| 2.00 1x ", "| 200 12.3x (0.50-457) ", "| 7 breakers ", "\nerratic, one breaker: 2% of the calls were not\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "steady, ") {
		t.Errorf("there is a note about a peer whose calls went as the column says:\n%s", got)
	}
}

func clockRow(one, two float64) row {
	r := row{label: "clock"}
	r.timings[oneGoroutine] = &measure.Timing{NS: spread(one, one, one), Ratio: spread(1, 1, 1)}
	r.timings[twoCores] = &measure.Timing{NS: spread(two, two, two), Ratio: spread(1, 1, 1)}
	return r
}

// TestComparisonNotesBusyCores shows that there is a note if reading the clock, which shares no memory, was not almost
// twice as fast on two cores: another program used one of them.
func TestComparisonNotesBusyCores(t *testing.T) {
	for two, warns := range map[float64]bool{12: false, 14: false, 20: true} {
		var out strings.Builder
		writeComparison(&out, options{}, []row{clockRow(24, two)})
		if got := strings.Contains(out.String(), "The two cores did the work of 1.2: "); got != warns {
			t.Errorf("24 ns on one core and %g ns on two: there is a note: %t, want %t", two, got, warns)
		}
	}
}

func TestRounded(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 999: "999ns", 1234: "1.23µs", 12_345_678: "12.3ms", 1_256_789_000: "1.26s",
	} {
		if got := rounded(d).String(); got != want {
			t.Errorf("%d ns is %s, want %s", d, got, want)
		}
	}
}

// TestScrapesThatFailAreErrors, and do not count as fast scrapes.
func TestScrapesThatFailAreErrors(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/refused":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/cut":
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("less")) // the client gets the error
		default:
			_, _ = w.Write([]byte("metrics"))
		}
	}))
	defer server.Close()
	for path, fails := range map[string]bool{"/refused": true, "/cut": true, "/metrics": false} {
		got, err := scrapeTimes(3, server.URL+path)
		if (err != nil) != fails {
			t.Errorf("%s: error %v", path, err)
		}
		if !fails && (len(got.took) != 3 || got.bytes != 7 || got.median() > got.worst()) {
			t.Errorf("%s: %+v, want three scrapes of 7 bytes", path, got)
		}
	}
}
