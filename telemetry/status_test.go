package telemetry

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestEveryTotalIsShown: a field that is added to the status of the feed or of the
// gates has to have a sample of its own.
func TestEveryTotalIsShown(t *testing.T) {
	feed, gates := FeedStatus{}, GateStatus{}
	tel := New(Options{Feed: func() FeedStatus { return feed }, Gates: func() GateStatus { return gates }})
	changed := map[string]string{} // by the sample that a field changed
	for _, status := range []reflect.Value{reflect.ValueOf(&feed).Elem(), reflect.ValueOf(&gates).Elem()} {
		for i := range status.NumField() {
			name := status.Type().String() + "." + status.Type().Field(i).Name
			f := status.Field(i)
			if f.CanInt() {
				f.SetInt(271828)
			} else {
				f.SetUint(271828)
			}
			var shown []string
			for line := range bytes.Lines(exposition(t, tel)) {
				if sample, found := strings.CutSuffix(string(line), " 271828\n"); found {
					shown = append(shown, sample)
				}
			}
			f.SetZero()
			if len(shown) != 1 || changed[shown[0]] != "" {
				t.Errorf("%s is shown by %v; must be one sample, of its own", name, shown)
				continue
			}
			changed[shown[0]] = name
		}
	}
	if got, want := len(changed), 16; got != want {
		t.Errorf("%d fields are shown, want %d: %v", got, want, slices.Sorted(maps.Values(changed)))
	}
}

// TestFromTheStart: what is counted of the feed and of gates is there before anything
// has happened.
func TestFromTheStart(t *testing.T) {
	tel := New(Options{})
	for _, prefix := range []string{"breakwater_feed_", "breakwater_gate"} {
		for line := range strings.Lines(lines(t, tel, prefix)) {
			if !strings.HasSuffix(line, " 0\n") {
				t.Errorf("%q; must be 0", line)
			}
		}
		var there, later int
		for _, f := range own(t, tel) {
			if strings.HasPrefix(f.GetName(), prefix) {
				there += len(f.GetMetric())
			}
		}
		for _, f := range own(t, typical()) {
			if strings.HasPrefix(f.GetName(), prefix) {
				later += len(f.GetMetric())
			}
		}
		if there == 0 || there != later {
			t.Errorf("%s: %d series at the start, and %d later", prefix, there, later)
		}
	}
}

// TestGatePropagation: the usual time, of 2 ms, has a bucket, and what lies around it others.
func TestGatePropagation(t *testing.T) {
	tel := New(Options{})
	for _, d := range []time.Duration{-time.Hour, 900 * time.Microsecond, 2 * time.Millisecond, 2001 * time.Microsecond, 8 * time.Millisecond, time.Minute} {
		tel.ObserveGatePropagation(d)
	}
	var want strings.Builder
	for _, b := range []struct {
		le string
		n  int
	}{
		{"0.001", 2}, {"0.0015", 2}, {"0.002", 3}, {"0.003", 4}, {"0.005", 4}, {"0.01", 5}, {"0.025", 5}, {"0.05", 5},
		{"0.1", 5}, {"0.25", 5}, {"1", 5}, {"2.5", 5}, {"10", 5}, {"+Inf", 6},
	} {
		fmt.Fprintf(&want, "breakwater_gate_propagation_seconds_bucket{le=%q} %d\n", b.le, b.n)
	}
	want.WriteString("breakwater_gate_propagation_seconds_sum 60.012901\nbreakwater_gate_propagation_seconds_count 6\n")
	if diff := cmp.Diff(want.String(), lines(t, tel, "breakwater_gate_propagation_seconds")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestOutliersAreNotChanged: what is shown in order stays as it was given.
func TestOutliersAreNotChanged(t *testing.T) {
	given := typicalOutliers()
	handler := New(Options{Outliers: func() []OutlierStatus { return given }}).Handler()
	for _, path := range []string{"/metrics", "/health/services"} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if body := w.Body.String(); w.Code != http.StatusOK || strings.Index(body, `"mirror"`) > strings.Index(body, `"stock"`) {
			t.Errorf("GET %s = %d, and upstreams are not in order:\n%s", path, w.Code, body)
		}
	}
	if !reflect.DeepEqual(given, typicalOutliers()) {
		t.Errorf("now they are %v", given)
	}
}
