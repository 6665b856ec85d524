package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/inprocess"
)

// The dependencies, by their names in the policy.
const (
	databaseName = "database"
	redisName    = "redis"
	apiName      = "external_api"
)

// service serves requests. Each dependency is in its own file.
type service struct {
	log      *slog.Logger
	breakers *inprocess.Registry
	database *database
	cache    *cache
	api      *api
	mesh     *mesh
	metrics  *metrics
}

func newService(o options, log *slog.Logger) (_ *service, err error) {
	s := &service{log: log}
	s.breakers, err = inprocess.Open(inprocess.Options{OnTransition: s.changed}, strings.Split(o.policy, ",")...)
	if err != nil {
		return nil, fmt.Errorf("the policy:\n%w", err)
	}
	if err := s.breakers.Require(databaseName, redisName); err != nil {
		return nil, err
	}
	proxy, err := url.Parse(o.proxy)
	if err != nil || proxy.Host == "" {
		return nil, fmt.Errorf("proxy %q; must be a URL such as http://127.0.0.1:10000", o.proxy)
	}
	if s.database, err = openDatabase(o.database, s.breakers); err != nil {
		return nil, err
	}
	s.cache = openCache(o.redis, s.breakers)
	s.api = openAPI(o.api, proxy)
	s.mesh = &mesh{url: o.controlPlane, workload: o.workload}
	s.metrics = newMetrics(s.breakers)
	return s, nil
}

func (s *service) close() {
	s.database.close()
	if err := s.cache.close(); err != nil {
		s.log.Warn("closing the cache", "error", err.Error())
	}
	s.api.close()
}

func (s *service) changed(t breaker.Transition) {
	s.log.Warn("breaker changed state", "service", t.Key.String(), "from", t.Edge.From.String(), "to", t.Edge.To.String(), "reason", t.Edge.Reason.String())
}

func (s *service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /users/{id}", s.metrics.counted("GET /users/{id}", s.getUser))
	mux.Handle("POST /users", s.metrics.counted("POST /users", s.postUser))
	mux.HandleFunc("GET /health/live", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "live"})
	})
	mux.HandleFunc("GET /health/ready", s.ready)
	mux.Handle("GET /metrics", s.metrics.handler())
	return mux
}

// view is a user in a response.
type view struct {
	user
	// Profile comes from the external API.
	Profile json.RawMessage `json:"profile,omitempty"`
	// Degraded names the missing parts, each with the dependency that failed.
	Degraded []string `json:"degraded,omitempty"`
	Source   string   `json:"source"` // cache | database
}

// getUser returns the user from the cache, or else from the database and the API. Only the
// database is necessary: parts from other dependencies are left out when these fail.
func (s *service) getUser(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id <= 0 {
		writeJSON(w, http.StatusBadRequest, problem{Error: "the id of a user is a positive number"})
		return
	}
	ctx := r.Context()
	v, found, err := s.cache.get(ctx, id)
	if err != nil {
		s.missed(redisName, err)
	}
	if found {
		v.Source = "cache"
		writeJSON(w, http.StatusOK, v)
		return
	}
	if v.user, err = s.database.find(ctx, id); err != nil {
		s.fail(w, err)
		return
	}
	v.Source = "database"
	if v.Profile, err = s.api.profile(ctx, id); err != nil {
		s.missed(apiName, err)
		v.Degraded = append(v.Degraded, "profile: "+apiName)
		w.Header().Set("X-Degraded", apiName)
	} else if err := s.cache.put(ctx, id, v); err != nil { // an incomplete response is not cached
		s.missed(redisName, err)
	}
	writeJSON(w, http.StatusOK, v)
}

func (s *service) postUser(w http.ResponseWriter, r *http.Request) {
	var u user
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	body.DisallowUnknownFields()
	if err := body.Decode(&u); err != nil || u.Name == "" || !strings.Contains(u.Email, "@") || u.ID != 0 {
		writeJSON(w, http.StatusBadRequest, problem{Error: `a user is like {"name": "Ada", "email": "ada@example.com"}`})
		return
	}
	u, err := s.database.create(r.Context(), u)
	if err != nil {
		s.fail(w, err)
		return
	}
	w.Header().Set("Location", fmt.Sprintf("/users/%d", u.ID))
	writeJSON(w, http.StatusCreated, view{user: u, Source: databaseName})
}

// problem is the body of an error response.
type problem struct {
	Error      string `json:"error"`
	Dependency string `json:"dependency,omitempty"`
	// RetryAfter is how long the caller should wait before it tries again, in seconds; 0: not known.
	RetryAfter int `json:"retry_after_seconds,omitempty"`
}

// fail sends the error response for a failed call of the database.
func (s *service) fail(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, errUnknownUser):
		writeJSON(w, http.StatusNotFound, problem{Error: err.Error()})
		return
	case errors.Is(err, errTaken):
		writeJSON(w, http.StatusConflict, problem{Error: err.Error()})
		return
	}
	s.missed(databaseName, err)
	p := problem{Error: "the database does not answer", Dependency: databaseName}
	if open := (*breaker.OpenError)(nil); errors.As(err, &open) {
		p.Error = "the database is unavailable: its circuit breaker is open"
		if open.RetryAfter > 0 {
			p.RetryAfter = int(math.Ceil(open.RetryAfter.Seconds()))
			w.Header().Set("Retry-After", strconv.Itoa(p.RetryAfter))
		}
	}
	writeJSON(w, http.StatusServiceUnavailable, p)
}

// missed counts a failed call of a dependency, and logs it unless the breaker rejected the call.
func (s *service) missed(dependency string, err error) {
	open := errors.Is(err, breaker.ErrOpen) || errors.Is(err, errRejected)
	s.metrics.missed(dependency, open)
	if !open && !errors.Is(err, context.Canceled) {
		s.log.Debug("a dependency failed", "dependency", dependency, "error", err.Error())
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // an error means that the caller has left
}

// connectTimeout bounds the time to connect to a dependency, which no breaker's timeout bounds.
const connectTimeout = 2 * time.Second
