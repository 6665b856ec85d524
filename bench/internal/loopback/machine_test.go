package loopback

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
)

// TestScopeEndsWhatItStarted: a scope ends its programs and services, and leaves those from before it alone.
func TestScopeEndsWhatItStarted(t *testing.T) {
	m, err := New(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	before, err := m.Upstream()
	if err != nil {
		t.Fatal(err)
	}
	listens := func(address string) bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	var inside string
	ended := make(<-chan struct{})
	if err := m.Scope(func() error {
		u, err := m.Upstream()
		if err != nil {
			return err
		}
		inside = u.Address()
		p, err := m.Start("sleep", "600")
		if err == nil {
			ended = p.Exited()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	<-ended
	if listens(inside) || !listens(before.Address()) {
		t.Errorf("the service of the scope listens: %v, the one from before: %v", listens(inside), listens(before.Address()))
	}
	path, err := m.Write("file", "text")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) || listens(before.Address()) {
		t.Errorf("after the end of the machine: %v, and its service listens: %v", err, listens(before.Address()))
	}
}

// TestWaitUntilIsInterrupted: a wait goes on until the check succeeds, and ends with the run.
func TestWaitUntilIsInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	m, err := New(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	n := 0
	if err := m.WaitUntil("the third time", func() error {
		if n++; n < 3 {
			return errors.New("not yet")
		}
		return nil
	}); err != nil || n != 3 {
		t.Errorf("error %v after %d checks", err, n)
	}
	if err := m.WaitUntil("never", func() error { stop(); return errors.New("not yet") }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the run was interrupted", err)
	}
}

// TestSumOf: all series of a metric count except one type, and no other metric does.
func TestSumOf(t *testing.T) {
	const page = "# HELP a what\na{type=\"x\"} 1\na{type=\"y\"} 2.5\na_total 100\nb 7\n"
	for without, want := range map[string]float64{"": 3.5, "x": 2.5} {
		if got, err := SumOf(page, "a", without); err != nil || got != want {
			t.Errorf("without %q: %v and error %v, want %v", without, got, err, want)
		}
	}
	if _, err := SumOf("a x\n", "a", ""); err == nil {
		t.Error("a value that is no number gave no error")
	}
}

// TestFetch: only status 200 is a page.
func TestFetch(t *testing.T) {
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, "page")
	}))
	defer s.Close()
	if page, err := Fetch(s.URL); err != nil || page != "page" {
		t.Errorf("got %q and error %v", page, err)
	}
	status = http.StatusServiceUnavailable
	if _, err := Fetch(s.URL); err == nil {
		t.Error("status 503 gave no error")
	}
}
