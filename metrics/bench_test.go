package metrics

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

// manyBreakers returns the metrics of n breakers, each of which has seen calls,
// every tenth a transition too.
func manyBreakers(n int) *Metrics {
	set := &policy.Set{Revision: "bench"}
	statuses := make([]breaker.Status, n)
	c := breaker.DefaultConfig()
	for i := range n {
		key := breaker.Key{Upstream: fmt.Sprintf("service-%06d", i), Route: "checkout"}
		set.Upstreams = append(set.Upstreams, &policy.Upstream{
			Name:   key.Upstream,
			Routes: []policy.Route{{Breaker: &policy.Breaker{Spec: breaker.Spec{Key: key, Config: c}, DataPath: policy.Adaptive}}},
		})
		statuses[i] = breaker.Status{
			Key: key, Config: &c, Admits: breaker.Whole,
			Window: breaker.WindowCounts{Calls: 100, Failures: 7, Slow: uint64(i % 100)},
			Counts: breaker.Counts{Requests: 1000, Successes: 930, Failures: 70, Slow: uint64(i)},
		}
	}
	t := showing(these(statuses...))
	t.Apply(set, time.Unix(0, 0))
	for i := range statuses {
		for range 20 {
			t.ObserveCalls(statuses[i].Key, time.Duration(i%3000)*time.Millisecond, 1)
		}
		if i%10 == 0 {
			t.ObserveTransition(breaker.Transition{Key: statuses[i].Key, Edge: breaker.Edges()[0]})
		}
	}
	return t
}

// scrape asks over a real connection and throws the answer away.
func scrape(tb testing.TB, client *http.Client, url string) int64 {
	tb.Helper()
	response, err := client.Get(url + "/metrics")
	if err != nil {
		tb.Error(err)
		return 0
	}
	defer response.Body.Close()
	size, err := io.Copy(io.Discard, response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		tb.Errorf("scrape: %s, %v", response.Status, err)
	}
	return size
}

// BenchmarkScrape is a scrape over loopback, the client's work included.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			server := httptest.NewServer(manyBreakers(n))
			defer server.Close()
			var size int64
			b.ReportAllocs()
			for b.Loop() {
				size = scrape(b, server.Client(), server.URL)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/breaker")
			b.ReportMetric(float64(size), "output-B")
		})
	}
}

// BenchmarkScrapeEngine is the same with the breakers of a real engine.
func BenchmarkScrapeEngine(b *testing.B) {
	server := httptest.NewServer(busy(policyOf(100_000)))
	defer server.Close()
	b.ReportAllocs()
	for b.Loop() {
		scrape(b, server.Client(), server.URL)
	}
}

func BenchmarkObserveCalls(b *testing.B) {
	t := manyBreakers(1000)
	key := breaker.Key{Upstream: "service-000500", Route: "checkout"}
	b.Run("one goroutine", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			t.ObserveCalls(key, 7*time.Millisecond, 1)
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				t.ObserveCalls(key, 7*time.Millisecond, 1)
			}
		})
	})
	b.Run("during scrapes", func(b *testing.B) {
		server := httptest.NewServer(t)
		defer server.Close()
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					scrape(b, server.Client(), server.URL)
				}
			}
		}()
		for b.Loop() {
			t.ObserveCalls(key, 7*time.Millisecond, 1)
		}
		close(stop)
		<-stopped
	})
}
