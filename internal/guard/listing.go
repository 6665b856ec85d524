package guard

import (
	"fmt"
	"time"
)

// Listing holds the upstreams that a proxy calls, as it names them on one configuration stream. It is safe for
// concurrent use.
type Listing struct {
	account *account
	all     bool // the proxy calls every upstream
	names   []string
}

// List begins a listing for a configuration stream of the peer. It is empty until [Listing.Set], and must be closed.
// Without rules it is nil, which is valid and does nothing.
func (p *Peer) List() *Listing {
	if p == nil || !p.hasRules {
		return nil
	}
	l := &Listing{account: p.account}
	a := l.account
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lists++
	return l
}

// Set replaces the upstreams of the listing with all upstreams, or with names. The listing keeps the slice.
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

// count adds by to the account's counts of the listed upstreams. The caller holds the account's lock.
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

// Close ends the listing. When it is the last one of its identity, it stays valid for another minute.
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
		a.stale, a.staleSince = true, time.Now() // its upstreams stay until another listing is set
	}
}

// May reports whether the peer may report on an upstream. It may if a configuration stream of its identity lists the
// upstream, or did so within the last minute. Without rules it always may.
func (p *Peer) May(upstream string) bool {
	if p == nil || !p.hasRules {
		return true
	}
	a := p.account
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.stale && time.Since(a.staleSince) > lingering {
		return false
	}
	return a.all > 0 || a.calls[upstream] > 0
}

// RefuseReport counts a report of the peer that was refused, and logs it.
func (p *Peer) RefuseReport(s Service, upstream string) {
	k := kind{p.account.key, s, Upstream}
	if due, silent := p.guard.refusals.count(k); due { // formats the message only then, because there are many reports
		p.guard.logRefusal(k, fmt.Sprintf("a report on upstream %.64q did not count: no configuration stream of this identity names it in the node's metadata, or its callers do not name the workload", upstream), silent)
	}
}
