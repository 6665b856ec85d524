package telemetry

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

// manyBreakers returns a Telemetry with n breakers, each of which has seen calls.
func manyBreakers(n int) *Telemetry {
	set := &policy.Set{Revision: "bench"}
	statuses := make([]breaker.Status, n)
	for i := range n {
		key := breaker.Key{Upstream: fmt.Sprintf("service-%d", i)}
		set.Upstreams = append(set.Upstreams, &policy.Upstream{
			Name:   key.Upstream,
			Routes: []policy.Route{{Breaker: &policy.Breaker{Spec: breaker.Spec{Key: key, Config: breaker.DefaultConfig()}}}},
		})
		statuses[i] = breaker.Status{
			Key: key, Config: breaker.DefaultConfig(),
			Window: breaker.WindowCounts{Calls: 100, Failures: 7},
			Counts: breaker.Counts{Requests: 1000, Successes: 930, Failures: 70},
		}
	}
	t := New(Options{Breakers: func() []breaker.Status { return statuses }})
	t.Apply(set, time.Unix(0, 0))
	return t
}

func BenchmarkScrape(b *testing.B) {
	const breakers = 10_000
	handler := manyBreakers(breakers).Handler()
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	w := &countingWriter{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		w.bytes = 0
		handler.ServeHTTP(w, request)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/breakers, "ns/breaker")
	b.ReportMetric(float64(w.bytes)/breakers, "B/breaker")
}

// countingWriter is a response that is thrown away.
type countingWriter struct {
	header http.Header
	bytes  int
}

func (w *countingWriter) Header() http.Header { return w.header }
func (w *countingWriter) WriteHeader(int)     {}
func (w *countingWriter) Write(p []byte) (int, error) {
	w.bytes += len(p)
	return len(p), nil
}

func BenchmarkGather(b *testing.B) {
	registry := manyBreakers(10_000).registry
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkObserveCall(b *testing.B) {
	t := manyBreakers(1000)
	key := breaker.Key{Upstream: "service-500"}
	b.Run("one goroutine", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			t.ObserveCall(key, 7*time.Millisecond)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				t.ObserveCall(key, 7*time.Millisecond)
			}
		})
	})
}
