package httpapi

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// patience is how long a request waits for its turn.
const patience = 10 * time.Second

// places bound how many requests of a kind are answered at a time: in all, and for one peer, so
// that no peer can keep all others out.
type places struct {
	most, each int

	mu    sync.Mutex
	taken int
	of    map[string]int // by peer
	freed chan struct{}  // closed when a place is given back
}

func newPlaces(most, each int) *places {
	return &places{most: most, each: each, of: map[string]int{}, freed: make(chan struct{})}
}

// take takes a place if there is one for that peer; else it returns a channel that is closed when
// it is time to try again. The peer "" has no bound of its own.
func (p *places) take(peer string) (ok bool, freed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.most || peer != "" && p.of[peer] >= p.each {
		return false, p.freed
	}
	p.taken++
	p.of[peer]++
	return true, nil
}

// leave gives a place back.
func (p *places) leave(peer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.of[peer]--; p.of[peer] == 0 {
		delete(p.of, peer)
	}
	close(p.freed)
	p.freed = make(chan struct{})
}

// wait takes a place as soon as there is one. It returns false when that takes longer than its
// patience, or ctx is over.
func (p *places) wait(ctx context.Context, peer string) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		ok, freed := p.take(peer)
		if ok {
			return true
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return false
		}
	}
}

// limited serves n requests at a time by handler, and at most half of n, rounded up, for one peer.
// Others wait for their turn, and get 503 when it does not come. So clients that do not read their
// answers cannot fill the memory, and one client alone cannot keep others from the page.
func (a *API) limited(n int, handler http.HandlerFunc) http.Handler {
	turns := newPlaces(n, (n+1)/2)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := peer(r)
		if !turns.wait(r.Context(), from) {
			w.Header().Set("Retry-After", "10")
			a.refuse(w, http.StatusServiceUnavailable, "too many requests of this kind are being answered")
			return
		}
		defer turns.leave(from)
		handler(w, r)
	})
}
