package httpapi

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater.dev/breaker"
)

// TestGuard: a name that a stranger can own is answered only if the options say that it is ours.
func TestGuard(t *testing.T) {
	handler := typicalMesh().api().GuardedHandler("Breakwater.Example", "breakwater.prod")
	for host, status := range map[string]int{
		"":                              200,
		"127.0.0.1:18080":               200,
		"10.1.2.3":                      200,
		"[2001:db8::1]:18080":           200,
		"localhost:18080":               200,
		"breakwater.localhost":          200,
		"breakwater:18080":              200,
		"breakwater.prod.svc:18080":     200,
		"breakwater.prod.svc.":          200,
		"b.prod.svc.cluster.local":      200,
		"breakwater.example:18080":      200,
		"BREAKWATER.example.":           200,
		"breakwater.prod":               200,
		"evil.example":                  421,
		"evil.example:18080":            421,
		"breakwater.example.evil.com":   421,
		"notbreakwater.example":         421,
		"svc.evil.com":                  421,
		"b.prod.svc.cluster.local.evil": 421,
		"127.0.0.1.evil.com":            421,
		"localhost.evil.com":            421,
		"breakwater.test":               421,
		".":                             200,
		"..":                            421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/config", nil)
		r.Host = host
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != status || status == 421 && (!strings.Contains(w.Body.String(), "--http-host") || strings.Contains(w.Body.String(), "payments")) {
			t.Errorf("Host %q: %d %s; want %d", host, w.Code, w.Body, status)
		}
		r.TLS = &tls.ConnectionState{} // the browser has checked the certificate against the name
		w = httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != http.StatusOK {
			t.Errorf("Host %q over TLS: %d; want 200", host, w.Code)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/config", nil)
	w := httptest.NewRecorder()
	if typicalMesh().api().GuardedHandler("*").ServeHTTP(w, r); w.Code != http.StatusOK {
		t.Errorf("with every name: %d, want 200", w.Code)
	}
}

// TestPlainTextChanges: from another host a change needs TLS, or an option that allows plain text.
func TestPlainTextChanges(t *testing.T) {
	for _, tt := range []struct {
		from         string
		secured, may bool
		status       int
	}{
		{"10.0.0.9:1234", false, false, http.StatusForbidden},
		{"[2001:db8::1]:1234", false, false, http.StatusForbidden},
		{"10.0.0.9:1234", true, false, http.StatusOK},
		{"10.0.0.9:1234", false, true, http.StatusOK},
		{"127.0.0.1:1234", false, false, http.StatusOK},
		{"[::ffff:127.0.0.2]:1234", false, false, http.StatusOK},
		{"[::1]:1234", false, false, http.StatusOK},
	} {
		var did strings.Builder
		m := mesh{
			breakers: these(breaker.Status{Key: breaker.Key{Upstream: "payments"}}), did: &did,
			admin: Admin{PlainText: tt.may, Token: func() (string, error) { return token, nil }},
		}
		r := httptest.NewRequest(http.MethodPost, "/breakers/payments", strings.NewReader(`{"action":"reset","by":"a","reason":"b"}`))
		r.RemoteAddr = tt.from
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		if tt.secured {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		m.api().Handler().ServeHTTP(w, r)
		changed := did.Len() > 0
		if w.Code != tt.status || changed != (tt.status == http.StatusOK) || !changed && !strings.Contains(w.Body.String(), "--http-tls-cert") {
			t.Errorf("%+v: %d %s, changed %t", tt, w.Code, w.Body, changed)
		}
	}
}

// TestFollowersOfOnePeer: one address does not take the places of all others, this host may, and
// a place that is left is free.
func TestFollowersOfOnePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pages := new(mesh).api()
		handler := pages.Handler()
		follow := func(from string) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, "/transitions", nil)
			r.RemoteAddr = from
			go handler.ServeHTTP(w, r)
			synctest.Wait()
			return w
		}
		for range maxFollowersEach {
			if w := follow("10.0.0.1:1"); w.Code != http.StatusOK {
				t.Fatalf("within its places: %d", w.Code)
			}
		}
		if w := follow("10.0.0.1:2"); w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), "your address does 8 times already") {
			t.Errorf("one more: %d %s, want 429", w.Code, w.Body)
		}
		for range 2 * maxFollowersEach {
			if w := follow("127.0.0.1:1"); w.Code != http.StatusOK {
				t.Errorf("by a tunnel: %d", w.Code)
			}
		}
		if w := follow("10.0.0.2:1"); w.Code != http.StatusOK {
			t.Errorf("another address: %d", w.Code)
		}
		pages.Close()
		synctest.Wait()
		if len(pages.following.of) > 0 || pages.following.taken > 0 {
			t.Errorf("places are taken when all have left: %v", pages.following.of)
		}
	})
}

// TestLimitedForOnePeer: a page that one address does not read is there for others.
func TestLimitedForOnePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		handler := (&API{}).limited(2, func(w http.ResponseWriter, _ *http.Request) { <-leave })
		ask := func(from string) chan int {
			status := make(chan int, 1)
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = from
			go func() {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				status <- w.Code
			}()
			synctest.Wait()
			return status
		}
		first, again := ask("10.0.0.1:1"), ask("10.0.0.1:2")
		other := ask("10.0.0.2:1")
		time.Sleep(patience)
		synctest.Wait()
		if got := <-again; got != http.StatusServiceUnavailable {
			t.Errorf("a second of one address got %d, want 503", got)
		}
		close(leave)
		if a, b := <-first, <-other; a != http.StatusOK || b != http.StatusOK {
			t.Errorf("got %d and %d, want 200 for each address", a, b)
		}
	})
}
