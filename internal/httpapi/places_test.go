package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestLimited: at most n are answered at a time, the next one waits for its turn, and not for ever.
func TestLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		handler := (&API{}).limited(2, func(w http.ResponseWriter, _ *http.Request) { <-leave })
		ask := func(ctx context.Context) chan int {
			status := make(chan int, 1)
			go func() {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, local(httptest.NewRequest(http.MethodGet, "/", nil)).WithContext(ctx))
				if w.Code != http.StatusOK && !strings.Contains(w.Body.String(), `"error": "too many requests`) {
					t.Errorf("the refusal is %q, want an api.Problem", w.Body)
				}
				status <- w.Code
			}()
			synctest.Wait()
			return status
		}
		first, second := ask(t.Context()), ask(t.Context())
		began := time.Now()
		if got := <-ask(t.Context()); got != http.StatusServiceUnavailable || time.Since(began) != patience {
			t.Errorf("a third got %d after %s, want 503 after %s", got, time.Since(began), patience)
		}
		third := ask(t.Context())
		leave <- struct{}{}
		synctest.Wait()
		gone, cancel := context.WithCancel(t.Context())
		fourth := ask(gone)
		cancel()
		<-fourth
		close(leave)
		for i, status := range []chan int{first, second, third} {
			if got := <-status; got != http.StatusOK {
				t.Errorf("request %d got %d, want 200", i+1, got)
			}
		}
	})
}

// local makes a request come from this host.
func local(r *http.Request) *http.Request {
	r.RemoteAddr = "127.0.0.1:1"
	return r
}
