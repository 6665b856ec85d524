package e2e

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sort"
	"strings"
	"testing"
)

// mirror is a handler that answers with everything that a service can see of a request.
func mirror(w http.ResponseWriter, r *http.Request) {
	lines := []string{r.Method + " " + r.Host + r.URL.String()}
	for name, values := range r.Header {
		lines = append(lines, fmt.Sprintf("%s: %q", name, values))
	}
	sort.Strings(lines[1:])
	io.WriteString(w, strings.Join(lines, "\n"))
}

// newCopying starts a mesh whose proxy has one worker. Each worker keeps its own copies, and connections go to any worker.
func newCopying(t *testing.T, ip, text string) *mesh {
	t.Helper()
	m := prepareMesh(t, ip, text)
	m.workers = 1
	m.startControl(t)
	m.startEnvoy(t)
	return m
}

// openWithCopies forces the breakers of upstreams open by their policy, and waits until a POST request is rejected.
func (m *mesh) openWithCopies(t *testing.T, text string, names ...string) {
	t.Helper()
	m.write(t, "policy.yaml", strings.ReplaceAll(text, "mode: Enforce", "mode: ForcedOpen"))
	for _, name := range names {
		m.state(t, name, "open")
		eventually(t, name+" is rejected", func() error {
			if r := m.request(t, http.MethodPost, name, "/"); r.status != 503 {
				return fmt.Errorf("got %d", r.status)
			}
			return nil
		})
	}
}

// TestALoweredTTLHoldsForCopies: an operator who lowers the ttl while the breaker is open ends the copies that are older.
func TestALoweredTTLHoldsForCopies(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	text := service("payments", u.address) + policyFor("payments", "mode: Enforce", "fallback: {cached: {ttl: 1h}, response: {status: 503, body: none}}")
	m := newCopying(t, ip, text)
	live := m.request(t, http.MethodGet, "payments", "/")
	m.openWithCopies(t, text, "payments")
	if got := m.request(t, http.MethodGet, "payments", "/"); got.status != 200 || got.body != live.body {
		t.Fatalf("got %d %q, want the copy", got.status, got.body)
	}
	m.openWithCopies(t, strings.ReplaceAll(text, "ttl: 1h", "ttl: 1s"), "payments")
	eventually(t, "the copy is no longer served", func() error {
		if got := m.request(t, http.MethodGet, "payments", "/"); got.status != 503 {
			return fmt.Errorf("got %d %q", got.status, got.body)
		}
		return nil
	})
}

// alice has the headers of a request whose user is in no standard header of HTTP.
var alice = []string{"X-User-Id: alice", "X-Api-Key: k1", "User-Agent: app/1", "X-Group: a", "X-Group: b"}

// TestCopiesAnswerOnlyTheSameRequest shows that a copy answers only a request that is the same in everything that a service
// can see. Headers that only trace a request through a mesh make no difference.
func TestCopiesAnswerOnlyTheSameRequest(t *testing.T) {
	inBoth(t, func(t *testing.T, path string) {
		ip := ownIP(t)
		u := newUpstream(t, ip)
		u.behave(mirror)
		text := service("payments", u.address, "hosts: [payments, other]") + policyFor("payments", "dataPath: "+path, "mode: Enforce",
			"fallback: {cached: {}, response: {status: 503, body: none}}")
		m := newCopying(t, ip, text)
		traced := append(slices.Clone(alice), "Traceparent: 00-1-1-01", "Tracestate: a=1", "X-Request-Id: 1", "B3: 1", "X-B3-Traceid: 1",
			"X-Datadog-Trace-Id: 1", "X-Cloud-Trace-Context: 1", "Sentry-Trace: 1", "Uber-Trace-Id: 1", "X-Amzn-Trace-Id: 1")
		live := m.request(t, http.MethodGet, "payments", "/account?a=1", traced...)
		m.openWithCopies(t, text, "payments")

		again := slices.Clone(traced)
		for i := range again[len(alice):] {
			again[len(alice)+i] += "2"
		}
		swapped := slices.Clone(alice)
		slices.Reverse(swapped[:3])
		for name, headers := range map[string][]string{"again": traced, "another trace": again, "without a trace": alice, "in another order": swapped} {
			if got := m.request(t, http.MethodGet, "payments", "/account?a=1", headers...); got.status != 200 || got.body != live.body {
				t.Errorf("%s: got %d %q, want the copy", name, got.status, got.body)
			}
		}
		but := func(change func(h []string) []string) []string { return change(slices.Clone(alice)) }
		replaced := func(i int, with string) []string {
			return but(func(h []string) []string { h[i] = with; return h })
		}
		added := func(more string) []string { return but(func(h []string) []string { return append(h, more) }) }
		for name, headers := range map[string][]string{
			"another user":            replaced(0, "X-User-Id: bob"),
			"no user":                 but(func(h []string) []string { return h[1:] }),
			"an empty user":           replaced(0, "X-User-Id: "),
			"two users":               added("X-User-Id: bob"),
			"another key":             replaced(1, "X-Api-Key: k2"),
			"another agent":           replaced(2, "User-Agent: app/2"),
			"repeated in other order": but(func(h []string) []string { h[3], h[4] = h[4], h[3]; return h }),
			"repeated as a list":      but(func(h []string) []string { h[3] = "X-Group: a,b"; return h[:4] }),
			"one more header":         added("X-Tenant: 7"),
			"forwarded for another":   added("X-Forwarded-For: 10.1.1.1"),
			"forwarded to a host":     added("X-Forwarded-Host: shop"),
			"baggage":                 added("Baggage: user=bob"),
			"a cookie":                added("Cookie: a=b"),
			"another method in truth": added("X-Http-Method-Override: DELETE"),
			"a range":                 added("Range: bytes=0-1"),
			"a language":              added("Accept-Language: de"),
		} {
			if got := m.request(t, http.MethodGet, "payments", "/account?a=1", headers...); got.status != 503 || got.body != "none" {
				t.Errorf("%s: got %d %q, want the fallback's response", name, got.status, got.body)
			}
		}
		for _, other := range [][3]string{
			{"HEAD", "payments", "/account?a=1"}, {"POST", "payments", "/account?a=1"}, {"OPTIONS", "payments", "/account?a=1"},
			{"GET", "payments", "/account?a=2"}, {"GET", "payments", "/account"}, {"GET", "payments", "/Account?a=1"},
			{"GET", "other", "/account?a=1"}, {"GET", "payments:80", "/account?a=1"}, {"GET", "PAYMENTS", "/account?a=1"},
		} {
			if got := m.request(t, other[0], other[1], other[2], alice...); got.status != 503 {
				t.Errorf("%q: got %d %q, want the fallback's response", other, got.status, got.body)
			}
		}
	})
}

// breakOff returns a handler that sends the head of a response and the beginning of its body, and closes the connection.
func breakOff(head string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+head+"\r\nthe beginning")
	}
}

// responding returns a handler that answers with a status and with headers, written as "name: value".
func responding(status int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Add(name, value)
		}
		w.WriteHeader(status)
		if status != http.StatusNotModified && status != http.StatusNoContent {
			io.WriteString(w, "some")
		}
	}
}

// TestCopiesOfWholePublicResponsesOnly shows that neither a response for one caller nor a part of a response is kept.
func TestCopiesOfWholePublicResponsesOnly(t *testing.T) {
	inBoth(t, func(t *testing.T, path string) {
		ip := ownIP(t)
		u := newUpstream(t, ip)
		text := service("payments", u.address) + policyFor("payments", "dataPath: "+path, "mode: Enforce",
			"breaker: {consecutiveFailures: 0, failureRateThreshold: 0%}", "fallback: {cached: {}, response: {status: 503, body: none}}")
		m := newCopying(t, ip, text)
		kept := map[string]http.HandlerFunc{
			"/good": responding(200), "/empty": responding(204), "/public": responding(200, "Cache-Control: public, max-age=1"),
			"/vary": responding(200, "Vary: X-User-Id", "Vary: Accept-Language"), "/zipped": responding(200, "Content-Encoding: gzip"),
		}
		not := map[string]http.HandlerFunc{
			"/private":     responding(200, "Cache-Control: max-age=5", "Cache-Control: private"),
			"/field":       responding(200, `Cache-Control: private="X-Name"`),
			"/no-store":    responding(200, "Cache-Control: No-Store"),
			"/all":         responding(200, "Vary: Accept", "Vary: *"),
			"/trace":       responding(200, "Vary: Traceparent"),
			"/cookie":      responding(200, "Set-Cookie: a=b"),
			"/part":        responding(206, "Content-Range: bytes 0-3/9"),
			"/same":        responding(304),
			"/moved":       responding(301, "Location: /login"),
			"/login":       responding(401),
			"/gone":        responding(404),
			"/broken":      responding(500),
			"/short":       breakOff("Content-Length: 100\r\n"),
			"/chunks":      breakOff("Transfer-Encoding: chunked\r\n"),
			"/unframed":    breakOff(""),
			"/unframed1.0": breakOff("Connection: close\r\n"),
		}
		ask := func(path string) (reply, error) {
			u.behave(kept[path])
			if not[path] != nil {
				u.behave(not[path])
			}
			return m.get(t.Context(), "payments", path)
		}
		for _, all := range []map[string]http.HandlerFunc{kept, not} {
			for path := range all {
				_, _ = ask(path) // returns an error if the response breaks off, as some do on purpose
			}
		}
		u.behave(responding(200)) // not what the last of them did: a request that passes before the gate acts must get a response
		m.openWithCopies(t, text, "payments")
		for path := range kept {
			if got, err := ask(path); err != nil || got.status/100 != 2 {
				t.Errorf("%s: got %d %q, %v, want the copy", path, got.status, got.body, err)
			}
		}
		for path := range not {
			if got, err := ask(path); err != nil || got.status != 503 || got.body != "none" {
				t.Errorf("%s: got %d %q, %v, want the fallback's response", path, got.status, got.body, err)
			}
		}
	})
}

// TestCopiesByKeyHeaders shows that a policy can name the headers that must be equal. Then a copy answers all requests in
// which these are equal, and never a request with other credentials.
func TestCopiesByKeyHeaders(t *testing.T) {
	inBoth(t, func(t *testing.T, path string) {
		ip := ownIP(t)
		u := newUpstream(t, ip)
		text := ""
		for name, fields := range map[string]string{
			"tenants": "keyHeaders: [X-Tenant]", "all": "keyHeaders: []", "secret": "keyHeaders: [], withCredentials: true",
		} {
			text += service(name, u.address) + policyFor(name, "dataPath: "+path, "mode: Enforce", "fallback: {cached: {"+fields+"}}")
		}
		m := newCopying(t, ip, text)
		u.behave(mirror)
		for _, name := range []string{"tenants", "all", "secret"} {
			m.request(t, http.MethodGet, name, "/", "X-Tenant: 1", "X-User-Id: alice")
			m.request(t, http.MethodGet, name, "/login", "Authorization: alice")
		}
		u.behave(responding(200, "Vary: X-User-Id"))
		m.request(t, http.MethodGet, "tenants", "/varies", "X-Tenant: 1")
		u.behave(responding(200, "Content-Encoding: gzip"))
		m.request(t, http.MethodGet, "tenants", "/zipped", "X-Tenant: 1")
		m.openWithCopies(t, text, "tenants", "all", "secret")
		for _, c := range []struct {
			name, path string
			status     int
			headers    []string
		}{
			{"tenants", "/", 200, []string{"X-Tenant: 1", "X-User-Id: bob"}},
			{"tenants", "/", 200, []string{"X-Tenant: 1", "Accept-Language: de"}},
			{"tenants", "/", 503, []string{"X-Tenant: 2", "X-User-Id: alice"}},
			{"tenants", "/", 503, []string{"X-User-Id: alice"}},
			{"tenants", "/", 503, []string{"X-Tenant: 1", "Authorization: alice"}},
			{"tenants", "/other", 503, []string{"X-Tenant: 1"}},
			{"tenants", "/varies", 503, []string{"X-Tenant: 1"}},
			{"tenants", "/zipped", 503, []string{"X-Tenant: 1"}},
			{"tenants", "/login", 503, []string{"Authorization: alice"}},
			{"all", "/", 200, []string{"X-Tenant: 7"}},
			{"all", "/", 503, []string{"Cookie: a=b"}},
			{"all", "/login", 503, nil},
			{"secret", "/login", 200, []string{"Authorization: alice", "X-User-Id: bob"}},
			{"secret", "/login", 503, []string{"Authorization: bob"}},
			{"secret", "/login", 503, nil},
		} {
			if got := m.request(t, http.MethodGet, c.name, c.path, c.headers...); got.status != c.status {
				t.Errorf("GET %s%s with %q: got %d %q, want %d", c.name, c.path, c.headers, got.status, got.body, c.status)
			}
		}
		// Copies that were kept by one rule do not answer requests by another rule.
		m.write(t, "policy.yaml", strings.ReplaceAll(strings.ReplaceAll(text, "mode: Enforce", "mode: ForcedOpen"), "keyHeaders: [], withC", "withC"))
		eventually(t, "no copy answers by another rule", func() error {
			if r := m.request(t, http.MethodGet, "secret", "/login", "Authorization: alice"); r.status != 503 {
				return fmt.Errorf("got %d", r.status)
			}
			return nil
		})
	})
}

// TestCopiesOfBodies shows that no copy is kept of the response to a GET request with a body. In HTTP/2 such a body needs no
// header.
func TestCopiesOfBodies(t *testing.T) {
	inBoth(t, func(t *testing.T, path string) {
		ip := ownIP(t)
		u := newUpstream(t, ip)
		u.behave(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
		text := service("payments", u.address) + policyFor("payments", "dataPath: "+path, "mode: Enforce",
			"fallback: {cached: {}, response: {status: 503, body: none}}")
		m := newCopying(t, ip, text)
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		t.Cleanup(transport.CloseIdleConnections)
		client := &http.Client{Transport: transport}
		search := func(query string) reply {
			t.Helper()
			var body io.Reader
			if query != "" {
				body = io.MultiReader(strings.NewReader(query)) // has no known length
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m.egress+"/search", body)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = "payments"
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.ProtoMajor != 2 {
				t.Fatalf("got %s, %v", resp.Proto, err)
			}
			return reply{status: resp.StatusCode, body: string(text)}
		}
		if got := search("alice's"); got.status != 200 || got.body != "alice's" {
			t.Fatalf("got %d %q, want the echo", got.status, got.body)
		}
		m.openWithCopies(t, text, "payments")
		for _, query := range []string{"bob's", "alice's", ""} {
			if got := search(query); got.status != 503 || got.body != "none" {
				t.Errorf("%q: got %d %q, want the fallback's response", query, got.status, got.body)
			}
		}
	})
}
