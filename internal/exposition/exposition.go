// Package exposition reads metrics as Prometheus does.
//
// In: a handler that answers /metrics, or collectors.
// Out: their metrics in the text format 0.0.4, or parsed.
// Called by: tests of the metrics, of the servers that describe their own, and of the app.
// Never: takes a metric that was not described or that is there twice, or a wrong answer: that fails the test.
// Concurrency: functions are safe for concurrent use.
package exposition

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Samples returns the samples of collectors, by name.
func Samples(t testing.TB, collectors ...prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	for _, c := range collectors {
		if err := registry.Register(c); err != nil {
			t.Fatal(err)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	var samples strings.Builder
	for line := range strings.Lines(text.String()) {
		if !strings.HasPrefix(line, "#") {
			samples.WriteString(line)
		}
	}
	return samples.String()
}

// Scrape returns what handler answers to GET /metrics.
func Scrape(t testing.TB, handler http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if got, want := w.Header().Get("Content-Type"), "text/plain; version=0.0.4; charset=utf-8"; w.Code != http.StatusOK || got != want {
		t.Fatalf("answer %d, %s; must be 200, %s", w.Code, got, want)
	}
	return w.Body.String()
}

// Lines returns the lines of a scrape that begin with start.
func Lines(t testing.TB, handler http.Handler, start string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(Scrape(t, handler)) {
		if strings.HasPrefix(line, start) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// Family is all series of one metric.
type Family = dto.MetricFamily

// All scrapes with the library's parser, which refuses a family or a series that is there twice. It returns the
// families by name.
func All(t testing.TB, handler http.Handler) []*Family {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(strings.NewReader(Scrape(t, handler)))
	if err != nil {
		t.Fatal(err)
	}
	var families []*Family
	for _, f := range parsed {
		families = append(families, f)
	}
	slices.SortFunc(families, func(a, b *Family) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return families
}

// Own is All without the metrics of the Go runtime and of the process.
func Own(t testing.TB, handler http.Handler) []*Family {
	t.Helper()
	return slices.DeleteFunc(All(t, handler), func(f *Family) bool {
		return strings.HasPrefix(f.GetName(), "go_") || strings.HasPrefix(f.GetName(), "process_")
	})
}
