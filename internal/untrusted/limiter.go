package untrusted

import (
	"sync"
	"time"
)

// How many lines are written about peers: each peer may cause a burst and then so many a
// second, and so may all together.
const (
	peerBurst, peerRate = 50, 2
	allBurst, allRate   = 2_000, 50
	maxPeers            = 1_024 // that are remembered; the others share one allowance
)

// Limiter bounds the lines that peers cause in a log. The zero Limiter is ready.
type Limiter struct {
	mu     sync.Mutex
	peers  map[string]*allowance
	all    allowance
	others allowance
	silent uint64 // lines that were not written since the last one that was
	swept  time.Time
}

// allowance is a bucket of tokens, which is full at first.
type allowance struct {
	spent float64
	since time.Time
}

func (a *allowance) refill(now time.Time, rate float64) {
	a.spent = max(a.spent-max(now.Sub(a.since).Seconds(), 0)*rate, 0)
	a.since = now
}

// Allow tells whether a line about a peer may be written now, and how many lines about any
// peer were not written since the last one that was.
func (l *Limiter) Allow(peer string, now time.Time) (ok bool, silent uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own := l.allowance(peer, now)
	own.refill(now, peerRate)
	l.all.refill(now, allRate)
	if own.spent+1 > peerBurst || l.all.spent+1 > allBurst {
		l.silent++
		return false, 0
	}
	own.spent++
	l.all.spent++
	silent, l.silent = l.silent, 0
	return true, silent
}

// allowance returns that of a peer. Those that have refilled are as good as forgotten.
func (l *Limiter) allowance(peer string, now time.Time) *allowance {
	if a := l.peers[peer]; a != nil {
		return a
	}
	if len(l.peers) >= maxPeers && now.Sub(l.swept) >= time.Second {
		l.swept = now
		for name, a := range l.peers {
			if a.refill(now, peerRate); a.spent == 0 {
				delete(l.peers, name)
			}
		}
	}
	if len(l.peers) >= maxPeers {
		return &l.others
	}
	if l.peers == nil {
		l.peers = map[string]*allowance{}
	}
	a := &allowance{since: now}
	l.peers[peer] = a
	return a
}
