package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// inBoth runs a test in both data paths, in parallel. The test gets the name of the path.
func inBoth(t *testing.T, test func(t *testing.T, path string)) {
	for _, path := range []string{"Adaptive", "Inline"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			test(t, path)
		})
	}
}

// request sends a request with headers, written as "name: value", and returns the response.
func (c *caller) request(t *testing.T, method, host, path string, headers ...string) reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+c.egress+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = host
	for _, h := range headers {
		if name, value, given := strings.Cut(h, ": "); given {
			r.Header.Add(name, value)
		}
	}
	resp, err := c.client.Do(r)
	if err != nil {
		t.Fatalf("%s %s%s: %v", method, host, path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s%s: %v", method, host, path, err)
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: string(body)}
}

// tripping is a breaker that opens at the third failure in a row.
const tripping = "breaker: {consecutiveFailures: 3, failureRateThreshold: 0%, waitDurationInOpenState: 2s, successThreshold: 1}"

// failUntilTripped opens a breaker by three calls that fail, and by more if a good call from before is counted between them.
func (m *mesh) failUntilTripped(t *testing.T, u *upstream, name string) {
	t.Helper()
	u.behave(answer(http.StatusInternalServerError))
	for range 2 {
		m.request(t, http.MethodPost, name, "/fail")
	}
	eventually(t, name+" trips", func() error {
		if b := m.breaker(t, name); b.Trip.Sequence == 0 {
			m.request(t, http.MethodPost, name, "/fail")
			return fmt.Errorf("it is %s", b.State)
		}
		return nil
	})
}

// rejectedWith waits until the metrics have a number of rejected calls that got a kind of fallback.
func (m *mesh) rejectedWith(t *testing.T, name, fallback string, want float64) {
	t.Helper()
	series := fmt.Sprintf(`circuit_breaker_rejected_total{fallback=%q,route="",service=%q}`, fallback, name)
	eventually(t, fmt.Sprintf("%s is %g", series, want), func() error {
		got, err := m.tryMetric(series)
		if err == nil && got != want {
			err = fmt.Errorf("the metric is %g", got)
		}
		return err
	})
}

// TestFallbackUpstream shows that another upstream gets the calls, with their bodies, while a breaker is open. They count as
// calls of that upstream, and its own breaker and fallback apply when it fails. When the first upstream recovers, it gets
// its calls again.
func TestFallbackUpstream(t *testing.T) {
	inBoth(t, func(t *testing.T, path string) {
		ip := ownIP(t)
		first, second := newUpstream(t, ip), newUpstream(t, ip)
		m := newMesh(t, ip, service("payments", first.address)+service("backup", second.address, "hosts: ['*.backup', backup.internal]")+
			policyFor("payments", "dataPath: "+path, strings.Replace(tripping, "2s", "3s", 1), "fallback: {upstream: backup}")+
			policyFor("backup", "dataPath: "+path, tripping, "fallback: {response: {status: 418, body: neither}}"))
		echo := func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s%s %s", r.Method, r.Host, r.URL, body)
		}
		second.behave(echo)
		m.failUntilTripped(t, first, "payments")
		eventually(t, "the fallback takes over", func() error {
			if r := m.request(t, http.MethodGet, "payments", "/a?b=c"); r.status != 200 || r.body != "GET backup.internal/a?b=c " {
				return fmt.Errorf("got %d %q", r.status, r.body)
			}
			return nil
		})
		reached := first.calls.Load()
		for i := range 20 {
			if r := m.request(t, http.MethodPost, "payments", "/"+strconv.Itoa(i)); r.status != 200 || r.body != fmt.Sprintf("POST backup.internal/%d ", i) {
				t.Fatalf("got %d %q, want the response of the fallback", r.status, r.body)
			}
		}
		if got := first.calls.Load(); got != reached {
			t.Errorf("%d calls reached the upstream of an open breaker", got-reached)
		}
		if got := m.breaker(t, "backup"); got.State != "closed" || got.Counts.Rejected != 0 {
			t.Errorf("the breaker of the fallback is %s and rejected %d calls, want closed and none", got.State, got.Counts.Rejected)
		}
		second.behave(answer(http.StatusInternalServerError))
		eventually(t, "the breaker of the fallback opens", func() error {
			m.request(t, http.MethodGet, "payments", "/")
			if got := m.breaker(t, "backup").State; got != "open" {
				return fmt.Errorf("the breaker is %s", got)
			}
			return nil
		})
		eventually(t, "callers get the fallback's own fallback", func() error {
			if r := m.request(t, http.MethodGet, "payments", "/"); r.status != 418 || r.body != "neither" {
				return fmt.Errorf("got %d %q", r.status, r.body)
			}
			return nil
		})
		first.behave(answer(http.StatusOK))
		m.passes(t, "payments")
		m.state(t, "payments", "closed")
		// In Adaptive the log entries of the last rejected calls may not have arrived yet.
		eventually(t, "every rejected call was taken over", func() error {
			taken, err := m.tryMetric(`circuit_breaker_rejected_total{fallback="upstream",route="",service="payments"}`)
			if all := m.breaker(t, "payments").Counts.Rejected; err == nil && taken != float64(all) {
				err = fmt.Errorf("%g of %d were taken over", taken, all)
			}
			return err
		})
		m.rejectedWith(t, "payments", "response", 0)
	})
}

// cacheable is a handler whose response depends on the path.
func cacheable(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/x")
	switch r.URL.Path {
	case "/good":
		h["Link"] = []string{"<a>", "<b>"}
		h.Set("Age", "5")
		h.Set("Vary", "Accept")
		fmt.Fprintf(w, "good %s", r.URL.RawQuery)
		return
	case "/binary":
		w.Write(binary256())
		return
	case "/chunks":
		for range 3 {
			io.WriteString(w, "chunk ")
			w.(http.Flusher).Flush()
		}
		return
	case "/private":
		h.Set("Cache-Control", "max-age=5, Private")
	case "/cookie":
		h.Set("Set-Cookie", "a=b")
	case "/vary":
		h["Vary"] = []string{"Accept", "*"}
	case "/large":
		w.Write(make([]byte, 1025))
		return
	case "/missing":
		w.WriteHeader(http.StatusNotFound)
	}
	io.WriteString(w, "answer")
}

// binary256 returns each byte once.
func binary256() []byte {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	return all
}

// TestFallbackCached shows that the proxy answers GET requests with the last good response, marked with its age, while a
// breaker is open. Requests without a copy get the response of the fallback. The proxy keeps no response that is not good,
// that forbids it, or that belongs to a request with another method or with credentials.
func TestFallbackCached(t *testing.T) {
	inBoth(t, func(t *testing.T, path string) {
		ip := ownIP(t)
		u := newUpstream(t, ip)
		m := newMesh(t, ip, service("payments", u.address)+policyFor("payments", "dataPath: "+path, strings.Replace(tripping, "2s", "1h", 1),
			"fallback: {cached: {ttl: 1m, maxBodyBytes: 1KiB}, response: {status: 503, contentType: application/json, body: '{}'}}"))
		u.behave(cacheable)
		kept := []string{"/good?1", "/good?2", "/binary", "/chunks"}
		not := []string{"/private", "/cookie", "/vary", "/large", "/missing", "/good?3 Authorization: x", "/good?4 Cookie: x",
			"/good?5 Cache-Control: no-store", "/good?6 Range: bytes=0-1"}
		get := func(request string) reply { // the path, and a header after a blank
			path, header, has := strings.Cut(request, " ")
			if !has {
				return m.request(t, http.MethodGet, "payments", path)
			}
			return m.request(t, http.MethodGet, "payments", path, header)
		}
		live := map[string]reply{}
		for _, request := range append(kept, not...) {
			live[request] = get(request)
		}
		m.request(t, http.MethodPost, "payments", "/good?7")
		m.failUntilTripped(t, u, "payments")
		m.rejects(t, "payments")
		for _, request := range kept {
			got, want := get(request), live[request]
			if got.status != 200 || got.body != want.body || got.header.Get("Content-Type") != "text/x" || !slices.Equal(got.header["Link"], want.header["Link"]) {
				t.Errorf("GET %s: got %d %q %v, want the same response as before", request, got.status, got.body, got.header)
			}
			oldest := 30
			age, err := strconv.Atoi(got.header.Get("Age"))
			if given, _ := strconv.Atoi(want.header.Get("Age")); err != nil || age < given || age > given+oldest {
				t.Errorf("GET %s: age %q, want between %d and %d s", request, got.header.Get("Age"), given, given+oldest)
			}
		}
		for _, request := range append(not, "/good?1 Accept: x", "/good?7", "/other") {
			if got := get(request); got.status != 503 || got.body != "{}" || got.header.Get("Age") != "" || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("GET %s: got %d %q %v, want the fallback's response", request, got.status, got.body, got.header)
			}
		}
		if got := m.request(t, http.MethodPost, "payments", "/good?1"); got.status != 503 {
			t.Errorf("a POST got %d %q, want the fallback's response", got.status, got.body)
		}
		m.rejectedWith(t, "payments", "cached", float64(len(kept)))
		// In Adaptive the log entries of the last rejected calls may not have arrived yet.
		eventually(t, "rejected calls without a copy are counted", func() error {
			got, err := m.tryMetric(`circuit_breaker_rejected_total{fallback="response",route="",service="payments"}`)
			misses := m.breaker(t, "payments").Counts.Rejected - len(kept)
			if err == nil && (misses < len(not)+4 || got != float64(misses)) {
				err = fmt.Errorf("%d calls had no copy, and %g got the response", misses, got)
			}
			return err
		})
	})
}

// TestFallbackCachedLimits shows that copies are dropped when they are too old, or when there are too many or too large ones,
// the oldest first. It also shows that a policy can keep responses to requests with credentials, and that such a copy answers
// only requests with the same credentials.
func TestFallbackCachedLimits(t *testing.T) {
	inBoth(t, func(t *testing.T, path string) {
		ip := ownIP(t)
		text := ""
		for name, fields := range map[string]string{
			"age": "ttl: 1s", "count": "maxEntries: 2", "size": "maxBytes: 3KiB, maxBodyBytes: 1KiB", "secret": "withCredentials: true",
		} {
			u := newUpstream(t, ip)
			u.behave(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "%-900s", r.URL.Path+r.Header.Get("Authorization"))
			})
			text += service(name, u.address) + policyFor(name, "dataPath: "+path, "mode: Enforce", "fallback: {cached: {"+fields+"}}")
		}
		m := newMesh(t, ip, text)
		for name := range map[string]bool{"age": true, "count": true, "size": true} {
			for _, path := range []string{"/1", "/2", "/3", "/2", "/3"} {
				m.request(t, http.MethodGet, name, path)
			}
		}
		m.request(t, http.MethodGet, "secret", "/", "Authorization: a")
		m.request(t, http.MethodGet, "secret", "/", "Authorization: b")
		m.write(t, "policy.yaml", strings.ReplaceAll(text, "mode: Enforce", "mode: ForcedOpen"))
		for _, name := range []string{"age", "count", "size", "secret"} {
			m.state(t, name, "open")
			eventually(t, name+" is rejected", func() error {
				if r := m.request(t, http.MethodPost, name, "/"); r.status != 503 {
					return fmt.Errorf("got %d", r.status)
				}
				return nil
			})
		}
		gets := func(name, path, header string, want int) {
			t.Helper()
			r := m.request(t, http.MethodGet, name, path, header)
			if _, secret, _ := strings.Cut(header, ": "); r.status != want || want == 200 && strings.TrimSpace(r.body) != path+secret {
				t.Errorf("GET %s of %s with %q: got %d %q, want %d", path, name, header, r.status, r.body, want)
			}
		}
		for _, name := range []string{"count", "size"} {
			gets(name, "/1", "", 503)
			gets(name, "/2", "", 200)
			gets(name, "/3", "", 200)
		}
		eventually(t, "copies are too old", func() error {
			if r := m.request(t, http.MethodGet, "age", "/3"); r.status != 503 {
				return fmt.Errorf("got %d", r.status)
			}
			return nil
		})
		gets("secret", "/", "Authorization: a", 200)
		gets("secret", "/", "Authorization: b", 200)
		gets("secret", "/", "Authorization: c", 503)
		gets("secret", "/", "Accept: x", 503)
	})
}

// TestFallbackUpstreamGRPC shows that calls that a fallback upstream takes over keep their trailers, which gRPC needs.
func TestFallbackUpstreamGRPC(t *testing.T) {
	inBoth(t, func(t *testing.T, path string) {
		ip := ownIP(t)
		first, second := newGRPCUpstream(t, ip), newGRPCUpstream(t, ip)
		m := newMesh(t, ip, service("orders", first.address, "protocol: GRPC")+service("backup", second.address, "protocol: GRPC")+
			policyFor("orders", "dataPath: "+path, strings.Replace(tripping, "2s", "1h", 1), "fallback: {upstream: backup}")+adaptive("backup"))
		conn, err := grpc.NewClient(m.egress, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("orders"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		check := func() codes.Code {
			_, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{})
			return status.Code(err)
		}
		first.code.Store(uint32(codes.Internal))
		second.code.Store(uint32(codes.NotFound)) // another code, which is not a failure
		for range 3 {
			if got := check(); got != codes.Internal {
				t.Fatalf("got %v, want the failure of the first upstream", got)
			}
		}
		m.state(t, "orders", "open")
		eventually(t, "the fallback takes over", func() error {
			if got := check(); got != codes.NotFound {
				return fmt.Errorf("got %v", got)
			}
			return nil
		})
		if got := m.breaker(t, "backup"); got.State != "closed" || got.Counts.Failures != 0 {
			t.Errorf("the breaker of the fallback is %s with %d failures, want closed and none", got.State, got.Counts.Failures)
		}
	})
}

// TestFallbackBesideProbes shows that a call without a permit gets the fallback in half-open, even if the control plane has
// refused the permit.
func TestFallbackBesideProbes(t *testing.T) {
	inBoth(t, func(t *testing.T, path string) {
		ip := ownIP(t)
		first, second := newUpstream(t, ip), newUpstream(t, ip)
		m := newMesh(t, ip, service("payments", first.address)+service("backup", second.address)+policyFor("payments", "dataPath: "+path,
			"breaker: {consecutiveFailures: 3, failureRateThreshold: 0%, slowCallRateThreshold: 0%, waitDurationInOpenState: 1s, permittedNumberOfCallsInHalfOpenState: 1, successThreshold: 1}",
			"fallback: {upstream: backup}"))
		second.behave(answer(http.StatusTeapot))
		m.failUntilTripped(t, first, "payments")
		probe := turnstile{release: make(chan int)}
		first.behave(probe.handle)
		probed := make(chan reply, 1)
		m.state(t, "payments", "half_open")
		go func() {
			for {
				r, err := m.get(t.Context(), "payments", "/")
				if err != nil || r.status != http.StatusTeapot {
					probed <- r
					return
				}
			}
		}()
		probes(t, m, 1)
		for range 50 {
			if r := m.request(t, http.MethodGet, "payments", "/"); r.status != http.StatusTeapot {
				t.Fatalf("beside a probe: got %d %q, want the response of the fallback", r.status, r.body)
			}
		}
		probe.release <- http.StatusOK
		if r := <-probed; r.status != http.StatusOK {
			t.Errorf("the probe got %d %q", r.status, r.body)
		}
		m.state(t, "payments", "closed")
	})
}
