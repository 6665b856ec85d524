package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// headers are request headers: names and values in turn.
type headers []string

// steering has all request headers that could change what Envoy 1.40 does, with values that would have an effect. They are in
// source/common/http/headers.h and in the filters that we use. It also has the headers of our own filters and scripts.
var steering = []headers{
	{"x-envoy-upstream-rq-timeout-ms", "1"},
	{"x-envoy-upstream-rq-timeout-ms", "0"},
	{"x-envoy-upstream-rq-timeout-ms", "60000"},
	{"x-envoy-upstream-rq-per-try-timeout-ms", "1"},
	{"x-envoy-upstream-rq-timeout-alt-response", "1"},
	{"x-envoy-upstream-stream-duration-ms", "1"},
	{"x-envoy-expected-rq-timeout-ms", "1"},
	{"x-envoy-retry-on", "5xx,gateway-error,reset,connect-failure", "x-envoy-max-retries", "8"},
	{"x-envoy-retry-on", "retriable-status-codes", "x-envoy-retriable-status-codes", "503", "x-envoy-max-retries", "8"},
	{"x-envoy-retry-on", "retriable-headers", "x-envoy-retriable-header-names", "x-retry-me", "x-envoy-max-retries", "8"},
	{"x-envoy-retry-grpc-on", "unavailable,internal,cancelled,deadline-exceeded", "x-envoy-max-retries", "8"},
	{"x-envoy-hedge-on-per-try-timeout", "true", "x-envoy-upstream-rq-per-try-timeout-ms", "20",
		"x-envoy-retry-on", "5xx,reset", "x-envoy-retry-grpc-on", "unavailable", "x-envoy-max-retries", "8"},
	{"x-envoy-upstream-alt-stat-name", "steered"},
	{"x-envoy-decorator-operation", "steered"},
	{"x-envoy-force-trace", "true", "x-request-id", "7d6f1a5e-0a4c-9b0e-8a3c-1f0b2c3d4e5f"},
	{"x-envoy-internal", "true"},
	{"x-envoy-external-address", "10.1.2.3"},
	{"x-envoy-ip-tags", "steered"},
	{"x-envoy-original-path", "/steered", "x-envoy-original-host", "steered", "x-envoy-original-url", "http://steered/"},
	{"x-envoy-original-dst-host", "127.0.0.1:1", "x-envoy-original-method", "PUT"},
	{"x-envoy-cluster", "steered", "x-envoy-upstream-hostname", "steered", "x-envoy-upstream-host-address", "127.0.0.1:1"},
	{"x-envoy-downstream-service-cluster", "steered", "x-envoy-downstream-service-node", "steered"},
	{"x-envoy-attempt-count", "9", "x-envoy-is-timeout-retry", "true"},
	{"x-envoy-degraded", "true", "x-envoy-overloaded", "true", "x-envoy-local-overloaded", "true",
		"x-envoy-drop-overload", "true", "x-envoy-ratelimited", "true", "x-envoy-not-forwarded", "true"},
	{"x-envoy-immediate-health-check-fail", "true", "x-envoy-upstream-healthchecked-cluster", "steered", "x-envoy-upstream-canary", "true"},
	{"x-envoy-upstream-service-time", "99999"},
	{"x-envoy-fault-delay-request", "9000", "x-envoy-fault-abort-request", "418", "x-envoy-fault-abort-grpc-request", "5"},
	{"x-envoy-peer-metadata", "steered", "x-envoy-peer-metadata-id", "steered"},
	{"x-forwarded-proto", "https", "x-forwarded-host", "steered", "x-forwarded-port", "1"},
	{"x-forwarded-client-cert", "Hash=steered"},
	{"forwarded", "for=10.1.2.3;host=steered;proto=https", "x-real-ip", "10.1.2.3", "via", "1.1 steered"},
	{"x-request-id", "00000000-0000-0000-0000-000000000000"},
	{"x-client-trace-id", "steered", "x-ot-span-context", "steered", "x-b3-traceid", "463ac35c9f6413ad", "x-b3-spanid", "463ac35c9f6413ad",
		"x-b3-sampled", "1", "x-b3-flags", "1", "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	{"early-data", "1"},
	{"x-http-method-override", "PUT", "x-rewrite-url", "/steered", "x-original-url", "/steered"},
	{"x-squash-debug", "steered", "capsule-protocol", "?1", "connect-timeout-ms", "1"},
	// These are our own headers.
	{"x-breakwater-times", "0/0"},
	{"x-breakwater-breaker", "steered", "breakwater.rejected", "true", "breakwater.logged", "true"},
	{"grpc-status", "0", "grpc-message", "steered"},
	{"cache-control", "no-store"},
}

// claims has headers X-Forwarded-For with addresses that a proxy could take for addresses of its own network.
var claims = []headers{
	{"x-forwarded-for", "10.1.2.3"}, {"x-forwarded-for", "172.16.0.1"}, {"x-forwarded-for", "192.168.1.1"},
	{"x-forwarded-for", "127.0.0.1"}, {"x-forwarded-for", "::1"}, {"x-forwarded-for", "fd00::1"}, {"x-forwarded-for", "fc00::1"},
	{"x-forwarded-for", "169.254.1.1"}, {"x-forwarded-for", "100.64.0.1"}, {"x-forwarded-for", "8.8.8.8"},
	{"x-forwarded-for", "10.1.2.3, 10.1.2.4"}, {"x-forwarded-for", "8.8.8.8, 10.1.2.3"}, {},
}

// attempts is a service that counts how often each call reaches it.
type attempts struct {
	address string
	mu      sync.Mutex             // guards counts and seen
	counts  map[string]int         // by call
	seen    map[string]http.Header // the headers of the last attempt of each call
	most    atomic.Int64           // the most requests that were in flight at once
	now     atomic.Int64           // the requests in flight
}

// callHeader is the header with the name of a call.
const callHeader = "x-call"

func newAttempts(t *testing.T, ip string) *attempts {
	t.Helper()
	a := &attempts{counts: map[string]int{}, seen: map[string]http.Header{}}
	l := listen(t, ip)
	a.address = l.Addr().String()
	server := &http.Server{Handler: a, ErrorLog: noLog, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return a
}

func (a *attempts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := a.now.Add(1)
	defer a.now.Add(-1)
	for most := a.most.Load(); now > most && !a.most.CompareAndSwap(most, now); most = a.most.Load() {
	}
	call := r.Header.Get(callHeader)
	a.mu.Lock()
	a.counts[call]++
	a.seen[call] = r.Header
	a.mu.Unlock()
	status, code := http.StatusOK, "0"
	switch r.URL.Path {
	case "/fails":
		status, code = http.StatusServiceUnavailable, "14"
		w.Header().Set("x-retry-me", "yes")
	case "/takes-a-while":
		pause(100*time.Millisecond, r.Context().Done())
	case "/hangs":
		<-r.Context().Done()
		return
	}
	if r.ProtoMajor == 2 {
		w.Header().Set("content-type", "application/grpc")
		w.Header().Set("grpc-status", code)
		return
	}
	w.WriteHeader(status)
}

// received returns how often a call came, and the headers of its last attempt.
func (a *attempts) received(call string) (int, http.Header) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts[call], a.seen[call]
}

// steerer is a caller that sends headers, in one dialect.
type steerer struct {
	egress    string
	dialect   dialect
	transport *http.Transport
}

func newSteerer(t *testing.T, egress string, d dialect) *steerer {
	t.Helper()
	s := &steerer{egress: egress, dialect: d, transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 128}}
	if d == grpcs {
		s.transport.Protocols = new(http.Protocols)
		s.transport.Protocols.SetUnencryptedHTTP2(true)
	}
	t.Cleanup(s.transport.CloseIdleConnections)
	return s
}

// call makes a call, and returns its status: the HTTP status, or the gRPC status.
func (s *steerer) call(ctx context.Context, host, path, id string, sent ...headers) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience/2)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.egress+path, nil)
	if err != nil {
		return "", err
	}
	r.Host = host
	r.Header.Set(callHeader, id)
	if s.dialect == grpcs {
		r.Method = http.MethodPost
		r.Header.Set("content-type", "application/grpc")
		r.Header.Set("te", "trailers")
	}
	for _, h := range sent {
		for i := 0; i < len(h); i += 2 {
			r.Header.Set(h[i], h[i+1])
		}
	}
	resp, err := s.transport.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return "", err
	}
	if s.dialect == grpcs {
		return "grpc " + resp.Header.Get("grpc-status") + resp.Trailer.Get("grpc-status"), nil
	}
	return fmt.Sprint(resp.StatusCode), nil
}

// steerings returns all sets of headers that a caller tries: each of steering, with and without the claim of an address in the
// proxy's own network, and all of them at once with each claim.
func steerings() []headers {
	var tries []headers
	for _, s := range steering {
		tries = append(tries, s, append(headers{"x-forwarded-for", "10.1.2.3"}, s...))
	}
	for _, c := range claims {
		all := append(headers{}, c...)
		for _, s := range steering {
			all = append(all, s...)
		}
		tries = append(tries, all)
	}
	return tries
}

// TestCallersSteerNothing shows that no request header changes the timeout of a call, the number of its attempts, its response,
// or its outcome.
func TestCallersSteerNothing(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	a := newAttempts(t, ip)
	var documents strings.Builder
	for _, d := range []dialect{http1, grpcs} {
		for _, p := range paths {
			name := d.name + p.suffix
			documents.WriteString(service(name, a.address, "protocol: "+d.protocol) +
				policyFor(name, "dataPath: "+p.dataPath, "timeout: 3s", "breaker: {consecutiveFailures: 100000, failureRateThreshold: 0%}"))
		}
	}
	m := newMesh(t, ip, documents.String())
	kinds := []struct {
		path string
		want map[dialect]string
	}{
		{"/fails", map[dialect]string{http1: "503", grpcs: "grpc 14"}},
		{"/takes-a-while", map[dialect]string{http1: "200", grpcs: "grpc 0"}},
		{"/hangs", map[dialect]string{http1: "504", grpcs: "grpc 4"}},
	}
	tries := steerings()
	for _, d := range []dialect{http1, grpcs} {
		for _, p := range paths {
			name := d.name + p.suffix
			s, before := newSteerer(t, m.egress, d), m.unanswered(t)
			var wg sync.WaitGroup
			slots := make(chan struct{}, 128) // many, so that the hanging calls wait together
			for _, k := range kinds {
				for i, sent := range tries {
					wg.Go(func() {
						slots <- struct{}{}
						defer func() { <-slots }()
						id := fmt.Sprint(name, k.path, i)
						got, err := s.call(t.Context(), name, k.path, id, sent)
						n, _ := a.received(id)
						if err != nil || got != k.want[d] || n != 1 {
							t.Errorf("%s%s with %.120s: got %s %v after %d attempts, want %s after 1", name, k.path, strings.Join(sent, " "), got, err, n, k.want[d])
						}
					})
				}
			}
			wg.Wait()
			eventually(t, "the calls of "+name+" are counted", func() error {
				c, n := m.breaker(t, name).Counts, len(tries)
				unanswered := m.unanswered(t) - before
				wrong := func(got, want int) bool { return got > want || got < want-unanswered }
				// In the data path Adaptive, successes are sampled.
				if wrong(c.Failures, 2*n) || wrong(c.Timeouts, n) || c.Ignored > unanswered || p.dataPath == "Inline" && wrong(c.Successes, n) {
					return fmt.Errorf("the counts are %+v, want %d of each kind, except %d calls that passed without a decision", c, n, unanswered)
				}
				return nil
			})
		}
	}
	if stats, err := fetch("http://" + m.ip + ":9901/stats"); err != nil || strings.Contains(stats, "steered") {
		t.Errorf("a caller has made statistics with its own name (%v)", err)
	}
}

// TestCallersSteerNoProbe shows that the only probe of a half-open breaker reaches the service once, whatever headers it has.
func TestCallersSteerNoProbe(t *testing.T) {
	t.Parallel()
	for _, d := range []dialect{http1, grpcs} {
		for _, p := range paths {
			t.Run(d.name+p.suffix, func(t *testing.T) {
				t.Parallel()
				ip := ownIP(t)
				a := newAttempts(t, ip)
				m := newMesh(t, ip, service("payments", a.address, "protocol: "+d.protocol)+policyFor("payments", "dataPath: "+p.dataPath, "timeout: 1s",
					"breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 500ms, "+
						"permittedNumberOfCallsInHalfOpenState: 1, successThreshold: 1, maxWaitDurationInHalfOpenState: 60s}"))
				s := newSteerer(t, m.egress, d)
				sent := steerings()
				if got, err := s.call(t.Context(), "payments", "/fails", "trip"); err != nil {
					t.Fatal(got, err)
				}
				for i, path := range []string{"/fails", "/hangs", "/fails", "/hangs"} {
					m.state(t, "payments", "half_open")
					id := fmt.Sprint(path, i)
					a.most.Store(0)
					eventually(t, "a probe reaches the service", func() error {
						// The proxy may still have the gate of the open breaker, and reject the call.
						if _, err := s.call(t.Context(), "payments", path, id, sent[len(sent)-len(claims)+i]); err != nil {
							return err
						}
						if n, _ := a.received(id); n == 0 {
							return errors.New("the call did not reach the service")
						}
						return nil
					})
					if n, _ := a.received(id); n != 1 || a.most.Load() != 1 {
						t.Errorf("%s: %d attempts of one probe, %d at once, want 1", path, n, a.most.Load())
					}
				}
			})
		}
	}
}

// TestHeadersThatPass shows that a caller's headers reach the service without a change, except headers of Envoy.
func TestHeadersThatPass(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	a := newAttempts(t, ip)
	m := newMesh(t, ip, service("payments", a.address))
	s := newSteerer(t, m.egress, http1)
	pass := headers{"x-forwarded-for", "8.8.8.8, 10.1.2.3", "x-forwarded-proto", "https", "x-forwarded-host", "shop", "x-forwarded-port", "8443",
		"x-forwarded-client-cert", "Hash=1", "forwarded", "for=10.1.2.3", "x-request-id", "mine", "traceparent", "mine", "x-b3-traceid", "mine",
		"via", "1.1 mine", "x-client-trace-id", "mine", "user-agent", "mine"}
	stop := headers{"x-envoy-retry-on", "5xx", "x-envoy-internal", "true", "x-envoy-anything", "1", "x-forwarded-for", "10.1.2.3"}
	if _, err := s.call(t.Context(), "payments", "/", "pass", pass); err != nil {
		t.Fatal(err)
	}
	_, got := a.received("pass")
	for i := 0; i < len(pass); i += 2 {
		if have := strings.Join(got.Values(pass[i]), " | "); have != pass[i+1] {
			t.Errorf("%s arrived as %q, want %q", pass[i], have, pass[i+1])
		}
	}
	if _, err := s.call(t.Context(), "payments", "/", "stop", stop); err != nil {
		t.Fatal(err)
	}
	_, got = a.received("stop")
	for name := range got {
		if strings.HasPrefix(strings.ToLower(name), "x-envoy-") {
			t.Errorf("%s: %v arrived", name, got[name])
		}
	}
}
