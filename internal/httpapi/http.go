package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"time"

	"breakwater.dev/api"
)

// endpoint is one page to GET.
type endpoint struct {
	path    string // for readers
	pattern string // for [http.ServeMux], without the method
	about   string
	handler http.Handler
	endless bool // its answer does not end by itself
}

const (
	// scrapes is how many scrapes are answered at a time: Prometheus often runs in pairs. Each holds a snapshot of all
	// breakers, which is most of what it needs.
	scrapes = 2
	// lists is how many lists of all breakers are made at a time.
	lists = 4
)

func (a *API) endpoints() []endpoint {
	return []endpoint{
		{path: "/metrics", pattern: "/metrics", handler: a.limited(scrapes, a.options.Metrics.ServeHTTP),
			about: "metrics for Prometheus"},
		{path: "/health/live", pattern: "/health/live", handler: http.HandlerFunc(a.live),
			about: "this process runs"},
		{path: "/health/ready", pattern: "/health/ready", handler: http.HandlerFunc(a.ready),
			about: "this process can serve; 503 while it cannot, with the reasons"},
		{path: "/health/dependencies", pattern: "/health/dependencies", handler: http.HandlerFunc(a.dependencies),
			about: "fewer than half of the breakers are open, else 503; ?for=WORKLOAD counts only the upstreams which that workload calls"},
		{path: "/health/services", pattern: "/health/services", handler: http.HandlerFunc(a.services),
			about: "health of each service, by its breaker, and the endpoints that are ejected for all proxies"},
		{path: "/breakers", pattern: "/breakers", handler: a.limited(lists, a.breakers),
			about: "all breakers; ?state=closed, half_open or open for some, ?forced=true for those that somebody holds"},
		{path: "/replicas", pattern: "/replicas", handler: http.HandlerFunc(a.replicas),
			about: "the control planes that share their breakers, and how many each owns"},
		{path: "/breakers/{service}/{route}", pattern: "/breakers/{key...}", handler: http.HandlerFunc(a.breaker),
			about: "one breaker; without the route, the service's own; with @NODE after it, that of one proxy. POST changes it by hand"},
		{path: "/transitions", pattern: "/transitions", handler: http.HandlerFunc(a.follow), endless: true,
			about: "transitions as they happen, one JSON object a line"},
		{path: "/config", pattern: "/config", handler: http.HandlerFunc(a.config),
			about: "the policy in force, the last reload, and what each proxy took or refused"},
	}
}

// Handler returns the endpoints. POST /breakers/{key} needs the admin token. All other endpoints are read
// only and have no authentication: any method except GET and HEAD gets 405. They are meant for loopback or a
// network that is trusted with the names of services. Answers are JSON with indentation, except /metrics, the
// lines of /transitions, and the index page at /.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	endpoints := a.endpoints()
	for _, e := range endpoints {
		mux.Handle("GET "+e.pattern, e.handler)
	}
	mux.HandleFunc("POST /breakers/{key...}", a.change)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { a.index(w, endpoints) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		mux.ServeHTTP(w, r)
	})
}

// NewServer returns a server for handler whose limits keep slow and idle
// clients from holding connections. The caller may change them before it listens.
func NewServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute, // a scrape of 100,000 breakers is half a gigabyte
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}

// refuse answers no, with why.
func (a *API) refuse(w http.ResponseWriter, status int, why string) {
	a.writeJSON(w, status, api.Problem{Error: why})
}

func (a *API) writeJSON(w http.ResponseWriter, status int, v any) {
	var body bytes.Buffer
	if err := newEncoder(&body, "").Encode(v); err != nil {
		a.options.Log.Error("answer cannot be written as JSON", "error", err)
		http.Error(w, "answer cannot be written as JSON: "+err.Error(), http.StatusInternalServerError)
		return // a bug
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes()) // fails only when the client has left
}

// newEncoder returns an encoder for readers: indented, each line behind prefix.
func newEncoder(to *bytes.Buffer, prefix string) *json.Encoder {
	enc := json.NewEncoder(to)
	enc.SetIndent(prefix, "  ")
	enc.SetEscapeHTML(false)
	return enc
}
