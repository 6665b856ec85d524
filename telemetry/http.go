package telemetry

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"
)

// endpoint is one thing to GET.
type endpoint struct {
	path    string // as people type it
	pattern string // as [http.ServeMux] wants it, without the method
	about   string
	handler http.Handler
	endless bool // its answer does not end by itself
}

func (t *Telemetry) endpoints() []endpoint {
	return []endpoint{
		{path: "/metrics", pattern: "/metrics", handler: limited(scrapes, t.metrics),
			about: "metrics for Prometheus"},
		{path: "/health/live", pattern: "/health/live", handler: http.HandlerFunc(t.live),
			about: "this process runs"},
		{path: "/health/ready", pattern: "/health/ready", handler: http.HandlerFunc(t.ready),
			about: "this process can serve; 503 while it cannot, with the reasons"},
		{path: "/health/dependencies", pattern: "/health/dependencies", handler: http.HandlerFunc(t.dependencies),
			about: "fewer than half of the breakers are open, else 503; ?for=WORKLOAD counts only the upstreams which that workload calls"},
		{path: "/health/services", pattern: "/health/services", handler: http.HandlerFunc(t.services),
			about: "health of each service, by its breaker, and the endpoints that are ejected for all proxies"},
		{path: "/breakers", pattern: "/breakers", handler: limited(lists, t.breakers),
			about: "all breakers; ?state=closed, half_open or open for some, ?forced=true for those that somebody holds"},
		{path: "/breakers/{service}/{route}", pattern: "/breakers/{key...}", handler: http.HandlerFunc(t.breaker),
			about: "one breaker; without the route, the service's own; with @NODE after it, that of one proxy. POST changes it by hand"},
		{path: "/transitions", pattern: "/transitions", handler: http.HandlerFunc(t.follow), endless: true,
			about: "transitions as they happen, one JSON object a line"},
		{path: "/config", pattern: "/config", handler: http.HandlerFunc(t.config),
			about: "the policy in force, the last reload, and what each proxy took or refused"},
	}
}

// lists is how many lists of all breakers are made at a time.
const lists = 4

// Handler returns the endpoints. But for POST /breakers/{key}, which needs the
// admin token, all are read only and have no authentication: any method but GET
// and HEAD gets 405. They are meant for loopback or a network that is trusted with
// the names of services. Answers are JSON with indentation, but for /metrics, the
// lines of /transitions, and the index page at /.
func (t *Telemetry) Handler() http.Handler {
	mux := http.NewServeMux()
	endpoints := t.endpoints()
	for _, e := range endpoints {
		mux.Handle("GET "+e.pattern, e.handler)
	}
	mux.HandleFunc("POST /breakers/{key...}", t.change)
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
		WriteTimeout:      time.Minute, // a scrape of 100,000 breakers is half a gigabyte
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
	if err := newEncoder(&body, "").Encode(v); err != nil {
		t.options.Log.Error("answer cannot be written as JSON", "error", err)
		http.Error(w, "answer cannot be written as JSON: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // fails only when the client has left
}

// newEncoder returns an encoder for people: indented, each line behind prefix.
func newEncoder(to *bytes.Buffer, prefix string) *json.Encoder {
	enc := json.NewEncoder(to)
	enc.SetIndent(prefix, "  ")
	enc.SetEscapeHTML(false)
	return enc
}
