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

// transition is a transition, as a follower gets it.
type transition struct {
	Key, From, To, Reason string
	received              time.Time
}

// follower gets all transitions. Unlike a request for a breaker's page, it does not make the breaker check its timers.
type follower struct {
	mu  sync.Mutex // guards all
	all []transition
}

// follow starts a follower. It returns when the control plane has answered, so that the follower misses no transition.
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
			tr := transition{received: time.Now()}
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

// received returns all transitions so far.
func (f *follower) received() []transition {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all[:len(f.all):len(f.all)]
}

// first returns a breaker's first transition, or nil if there is none yet.
func (f *follower) first(key string) *transition {
	for _, tr := range f.received() {
		if tr.Key == key {
			return &tr
		}
	}
	return nil
}
