package telemetry

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"breakwater.dev/breaker"
)

// TestLimited: so many at a time, the next waits for its turn, and not for ever.
func TestLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		handler := limited(2, func(w http.ResponseWriter, _ *http.Request) { <-leave })
		ask := func(ctx context.Context) chan int {
			status := make(chan int, 1)
			go func() {
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, local(httptest.NewRequest(http.MethodGet, "/", nil)).WithContext(ctx))
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

// closing is a response whose client leaves after some bytes.
type closing struct {
	*httptest.ResponseRecorder
	left int
}

func (c *closing) Write(b []byte) (int, error) {
	if c.left -= len(b); c.left < 0 {
		return 0, errors.New("broken pipe")
	}
	return len(b), nil
}

// TestClientLeaves: whenever a client leaves, the next gets whole answers.
func TestClientLeaves(t *testing.T) {
	tel := manyBreakers(200)
	handler := tel.Handler()
	for _, path := range []string{"/metrics", "/breakers"} {
		for left := 0; left < 1<<20; left = 2*left + 1000 {
			handler.ServeHTTP(&closing{httptest.NewRecorder(), left}, httptest.NewRequest(http.MethodGet, path, nil))
		}
	}
	if got, want := len(own(t, tel)), len(own(t, manyBreakers(200))); got != want {
		t.Errorf("%d families after that, want %d", got, want)
	}
}

// TestSnapshotIsUsedAgain: the statuses of one request are the space of the next.
func TestSnapshotIsUsedAgain(t *testing.T) {
	got := 0
	tel := New(Options{Breakers: func(dst []breaker.Status) []breaker.Status {
		if len(dst) != 0 {
			t.Errorf("%d statuses are there already", len(dst))
		}
		got = max(got, cap(dst))
		return append(dst, make([]breaker.Status, 10)...)
	}})
	for began := time.Now(); got < 10 && time.Since(began) < 10*time.Second; {
		tel.withStatuses(func(s []breaker.Status) {
			if len(s) != 10 {
				t.Fatalf("%d statuses, want 10", len(s))
			}
		})
	}
	if got < 10 {
		t.Error("the space was never used again")
	}
}

// local makes a request come from this host.
func local(r *http.Request) *http.Request {
	r.RemoteAddr = "127.0.0.1:1"
	return r
}
