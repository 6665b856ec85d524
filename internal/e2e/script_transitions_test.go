package e2e

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// moved is a transition, as a follower hears of it.
type moved struct {
	Key, From, To, Reason string
	heard                 time.Time
}

// follower has heard of all transitions since it began. Unlike the pages about breakers, it does
// not make them look at the time.
type follower struct {
	mu  sync.Mutex
	all []moved
}

// follow returns when the control plane has answered, so that no transition is missed.
func (m *mesh) follow(t *testing.T) *follower {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+m.ip+":18080/transitions", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() {
		t.Fatalf("transitions cannot be followed: status %d, %v", response.StatusCode, lines.Err())
	}
	f := &follower{}
	go func() {
		defer response.Body.Close()
		for lines.Scan() { // until the test ends
			tr := moved{heard: time.Now()}
			if strings.TrimSpace(lines.Text()) == "" {
				continue
			}
			if err := json.Unmarshal(lines.Bytes(), &tr); err != nil {
				tr.Reason = "unreadable: " + lines.Text()
			}
			f.mu.Lock()
			f.all = append(f.all, tr)
			f.mu.Unlock()
		}
	}()
	return f
}

// heard are all transitions so far.
func (f *follower) heard() []moved {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[:len(f.all):len(f.all)]
}

// first is a breaker's first transition, nil before it.
func (f *follower) first(key string) *moved {
	for _, tr := range f.heard() {
		if tr.Key == key {
			return &tr
		}
	}
	return nil
}
