package guard

import (
	"fmt"
	"time"
)

// Listing is what one stream of configuration says of the upstreams that its proxy calls.
type Listing struct {
	account *account
	all     bool
	names   []string
}

// List begins a listing, which says nothing yet.
func (p *Peer) List() *Listing {
	if p == nil || !p.bound {
		return nil
	}
	l := &Listing{account: p.account}
	a := l.account
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lists++
	return l
}

// Set replaces what the listing says: all upstreams, or these. It keeps names.
func (l *Listing) Set(all bool, names []string) {
	if l == nil {
		return
	}
	a := l.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stale {
		a.stale, a.all = false, 0
		clear(a.calls)
	}
	l.count(-1)
	l.all, l.names = all, names
	l.count(1)
}

func (l *Listing) count(by int) {
	a := l.account
	if l.all {
		a.all += by
	}
	for _, name := range l.names {
		if a.calls[name] += by; a.calls[name] == 0 {
			delete(a.calls, name)
		}
	}
}

// Close ends the listing. The last one of an identity counts for another minute.
func (l *Listing) Close() {
	if l == nil {
		return
	}
	a := l.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lists--; a.lists > 0 {
		l.count(-1)
	} else if !a.stale {
		a.stale, a.left = true, time.Now() // what it said stays until somebody says something else
	}
}

// May tells whether what the peer reports on an upstream counts: one of its identity says over
// xDS that it calls it, and may, or has said so of late. Without rules it always does.
func (p *Peer) May(upstream string) bool {
	if p == nil || !p.bound {
		return true
	}
	a := p.account
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.stale && time.Since(a.left) > lingering {
		return false
	}
	return a.all > 0 || a.calls[upstream] > 0
}

// RefuseReport counts that what the peer reported on an upstream did not count.
func (p *Peer) RefuseReport(s Service, upstream string) {
	k := kind{p.account.key, s, Upstream}
	if due, silent := p.guard.refusals.count(k); due { // the sentence is made only then: reports are many
		p.guard.say(k, fmt.Sprintf("a report on upstream %.64q did not count: no configuration stream of this identity names it in the node's metadata, or its callers do not name the workload", upstream), silent)
	}
}

// pause is how long an identity gets no probe of one breaker.
type pause struct {
	until  time.Time
	length time.Duration
}

// Bounds on pauses. The longest leaves an upstream that answers again, and that only this
// identity calls, without a probe for no longer.
const (
	maxPause  = time.Minute
	maxPauses = 1_024 // that are remembered of one identity
)

// Probes tells whether the peer may probe a breaker: whoever let permits run out waits.
func (p *Peer) Probes(key string) bool {
	if p == nil || !p.bound {
		return true
	}
	a := p.account
	a.mu.RLock()
	defer a.mu.RUnlock()
	w, paused := a.pauses[key]
	return !paused || time.Now().After(w.until)
}

// Kept says that a probe of the peer had an outcome.
func (p *Peer) Kept(key string) {
	if p == nil || !p.bound {
		return
	}
	p.account.mu.Lock()
	defer p.account.mu.Unlock()
	delete(p.account.pauses, key)
}

// Overdue says that a probe of the peer had no outcome when its lease was over. The next ones
// go to others, for as long as the lease was, and twice as long each time.
func (p *Peer) Overdue(key string, lease time.Duration) {
	if p == nil || !p.bound {
		return
	}
	a := p.account
	now := time.Now()
	a.mu.Lock()
	w := a.pauses[key]
	if now.Before(w.until) { // it was out at the same time as another one
		a.mu.Unlock()
		return
	}
	w.length = min(max(2*w.length, lease), maxPause)
	w.until = now.Add(w.length)
	if len(a.pauses) < maxPauses || a.pauses[key] != (pause{}) {
		a.pauses[key] = w
	}
	a.mu.Unlock()
	p.guard.refuse(kind{a.key, ExtProc, Probes}, fmt.Sprintf("a probe of breaker %.64q had no outcome when its lease was over; others probe for %s", key, w.length))
}
