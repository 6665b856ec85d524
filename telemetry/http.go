package telemetry

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// endpoint is one thing to GET.
type endpoint struct {
	path    string // as people type it
	pattern string // as [http.ServeMux] wants it, without the method
	about   string
	handler http.Handler
}

func (t *Telemetry) endpoints() []endpoint {
	metrics := promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(t.options.Log.Handler(), slog.LevelError),
		MaxRequestsInFlight: 4,
	})
	return []endpoint{
		{"/metrics", "/metrics", "metrics for Prometheus", metrics},
		{"/health/live", "/health/live", "this process runs", http.HandlerFunc(t.live)},
		{"/health/ready", "/health/ready", "this process can serve; 503 while it cannot, with the reasons", http.HandlerFunc(t.ready)},
		{"/health/dependencies", "/health/dependencies", "fewer than half of the breakers are open, else 503; ?for=WORKLOAD counts only the upstreams which that workload calls", http.HandlerFunc(t.dependencies)},
		{"/health/services", "/health/services", "health of each service, by its breaker", http.HandlerFunc(t.services)},
		{"/breakers", "/breakers", "all breakers; ?state=closed, half_open or open for some", http.HandlerFunc(t.breakers)},
		{"/breakers/{service}/{route}", "/breakers/{key...}", "one breaker; without the route, the service's own", http.HandlerFunc(t.breaker)},
		{"/config", "/config", "the policy in force, the last reload, and what each proxy took or refused", http.HandlerFunc(t.config)},
	}
}

// Handler returns the endpoints. All are read only: any method but GET and HEAD
// gets 405. They have no authentication and are meant for loopback or a network
// that is trusted with the names of services. Answers are JSON with indentation,
// but for /metrics and the index page at /.
func (t *Telemetry) Handler() http.Handler {
	mux := http.NewServeMux()
	endpoints := t.endpoints()
	for _, e := range endpoints {
		mux.Handle("GET "+e.pattern, e.handler)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { t.index(w, endpoints) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// NewHTTPServer returns a server for handler whose limits keep slow and idle
// clients from holding connections; whoever listens may change them before.
func NewHTTPServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute, // a scrape of 100,000 breakers is tens of megabytes
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}

// problem is the body of an answer that is an error.
type problem struct {
	Error string `json:"error"`
}

func (t *Telemetry) writeJSON(w http.ResponseWriter, status int, v any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.options.Log.Error("answer cannot be written as JSON", "error", err)
		http.Error(w, "answer cannot be written as JSON: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // fails only when the client has left
}
