package httpapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"breakwater.dev/breaker"
)

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

// TestClientLeaves: whenever a client leaves, the next gets a whole answer.
func TestClientLeaves(t *testing.T) {
	var all []breaker.Status
	for range 200 {
		all = append(all, breaker.Status{Key: breaker.Key{Upstream: "service"}})
	}
	handler := (&mesh{breakers: these(all...)}).api().Handler()
	for left := 0; left < 1<<20; left = 2*left + 1000 {
		handler.ServeHTTP(&closing{httptest.NewRecorder(), left}, httptest.NewRequest(http.MethodGet, "/breakers", nil))
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/breakers", nil))
	if got := strings.Count(w.Body.String(), `"key": "service"`); got != 200 {
		t.Errorf("%d breakers after that, want 200", got)
	}
}

// TestSnapshotIsUsedAgain: the statuses of one answer are the space of the next.
func TestSnapshotIsUsedAgain(t *testing.T) {
	got := 0
	pages := (&mesh{breakers: func(dst []breaker.Status) []breaker.Status {
		if len(dst) != 0 {
			t.Errorf("%d statuses are there already", len(dst))
		}
		got = max(got, cap(dst))
		return append(dst, make([]breaker.Status, 10)...)
	}}).api()
	for began := time.Now(); got < 10 && time.Since(began) < 10*time.Second; {
		pages.withStatuses(func(s []breaker.Status) {
			if len(s) != 10 {
				t.Fatalf("%d statuses, want 10", len(s))
			}
		})
	}
	if got < 10 {
		t.Error("the space was never used again")
	}
}
