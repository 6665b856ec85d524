package main

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"breakwater.dev/inprocess"
)

// metrics are the service's own metrics. The control plane has the metrics of the mesh's breakers.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	misses   *prometheus.CounterVec
}

func newMetrics(breakers *inprocess.Registry) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "shop_request_duration_seconds", Help: "How long requests took, by route and status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"route", "code"}),
		misses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "shop_dependency_misses_total", Help: "What dependencies did not give, and whether they were asked: a breaker that was open, or a failure.",
		}, []string{"dependency", "why"}),
	}
	for _, d := range []string{databaseName, redisName, apiName} {
		m.misses.WithLabelValues(d, "open")
		m.misses.WithLabelValues(d, "failure")
	}
	m.registry.MustRegister(m.requests, m.misses, ownBreakers{breakers},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *metrics) missed(dependency string, open bool) {
	why := "failure"
	if open {
		why = "open"
	}
	m.misses.WithLabelValues(dependency, why).Inc()
}

// counted counts and times the responses of a handler.
func (m *metrics) counted(route string, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		recorder := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		h(recorder, r)
		m.requests.WithLabelValues(route, strconv.Itoa(recorder.status)).Observe(time.Since(begun).Seconds())
	})
}

// statusWriter records the status of a response.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// ownBreakers collects the state of the breakers in this process, with the same values as
// circuit_breaker_state.
type ownBreakers struct{ breakers *inprocess.Registry }

var stateDesc = prometheus.NewDesc("shop_breaker_state", "State of the breakers in this process: 0 closed, 1 half-open, 2 open.", []string{"service"}, nil)

func (o ownBreakers) Describe(ch chan<- *prometheus.Desc) { ch <- stateDesc }

func (o ownBreakers) Collect(ch chan<- prometheus.Metric) {
	for _, st := range o.breakers.Snapshot() {
		ch <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, float64(st.State), st.Key.String())
	}
}
