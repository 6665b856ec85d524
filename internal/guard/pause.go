package guard

import (
	"fmt"
	"time"
)

// pause is a time in which an identity gets no probe of one breaker.
type pause struct {
	until  time.Time
	length time.Duration
}

// Bounds on pauses.
const (
	// maxPause is the longest pause. An upstream that only this identity calls may have recovered, and gets no probe
	// during the pause.
	maxPause  = time.Minute
	maxPauses = 1_024 // for one identity; further ones are not remembered
)

// Probes reports whether the peer may probe the breaker with this key. It may not during a pause, see [Peer.Overdue].
func (p *Peer) Probes(key string) bool {
	if p == nil || !p.hasRules {
		return true
	}
	a := p.account
	a.mu.RLock()
	defer a.mu.RUnlock()
	w, paused := a.pauses[key]
	return !paused || time.Now().After(w.until)
}

// Kept records that a probe of the peer had an outcome. The next pause for this breaker is a short one again.
func (p *Peer) Kept(key string) {
	if p == nil || !p.hasRules {
		return
	}
	p.account.mu.Lock()
	defer p.account.mu.Unlock()
	delete(p.account.pauses, key)
}

// Overdue records that a probe of the peer had no outcome when its lease was over. The peer then gets no probe of this
// breaker for a pause as long as the lease, and twice as long each time, up to a minute. Other peers may probe.
func (p *Peer) Overdue(key string, lease time.Duration) {
	if p == nil || !p.hasRules {
		return
	}
	a := p.account
	now := time.Now()
	a.mu.Lock()
	w := a.pauses[key]
	if now.Before(w.until) { // this probe was in flight at the same time as the one that began the pause
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
