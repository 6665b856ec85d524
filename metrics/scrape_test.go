package metrics

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/exposition"
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

// TestClientLeaves: whenever a client leaves, the next gets whole answers.
func TestClientLeaves(t *testing.T) {
	m := manyBreakers(200)
	for left := 0; left < 1<<20; left = 2*left + 1000 {
		m.ServeHTTP(&closing{httptest.NewRecorder(), left}, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}
	if got, want := len(exposition.Own(t, m)), len(exposition.Own(t, manyBreakers(200))); got != want {
		t.Errorf("%d families after that, want %d", got, want)
	}
}

// TestSnapshotIsUsedAgain: the statuses of one scrape are the space of the next.
func TestSnapshotIsUsedAgain(t *testing.T) {
	got := 0
	m := showing(statuses(func(dst []breaker.Status) []breaker.Status {
		if len(dst) != 0 {
			t.Errorf("%d statuses are there already", len(dst))
		}
		got = max(got, cap(dst))
		return append(dst, make([]breaker.Status, 10)...)
	}))
	for began := time.Now(); got < 10 && time.Since(began) < 10*time.Second; {
		exposition.Scrape(t, m)
	}
	if got < 10 {
		t.Error("the space was never used again")
	}
}
