package lease

import "time"

// PerTTL is how often a layer is renewed in its time to live, so that one renewal may be lost.
const PerTTL = 3

// Leases are the leases of one proxy's layers, by name. The zero value has none.
type Leases struct {
	all    map[string]*lease
	flight []*lease // in the last response
}

// lease is what is known of one layer of a proxy.
type lease struct {
	sent  time.Time     // when it was last sent or renewed; zero: never on this stream
	ttl   time.Duration // as sent then; 0: the proxy keeps it for ever
	until time.Time     // when the proxy drops it, by its last answer; zero: never, or it is not known
	sure  bool          // the proxy took the last response with it
}

func (l *Leases) of(name string) *lease {
	if l.all == nil {
		l.all = map[string]*lease{}
	}
	if l.all[name] == nil {
		l.all[name] = &lease{sure: true} // the proxy may have it from an earlier stream
	}
	return l.all[name]
}

// Wait returns after what time a layer that the proxy has is to be renewed, for a time to live that may be another one than before; 0 or
// less: now. One from an earlier stream is renewed at once, because its time is running.
func (l *Leases) Wait(name string, ttl time.Duration, now time.Time) time.Duration {
	e := l.of(name)
	if e.ttl > 0 {
		ttl = min(ttl, e.ttl)
	}
	return e.sent.Add(ttl / PerTTL).Sub(now)
}

// Lapses reports whether the proxy may drop a layer before a renewal that is sent now arrives. Such a renewal needs the content. A proxy
// that has just said that it has a layer from an earlier stream is taken at its word: it refuses the renewal otherwise.
func (l *Leases) Lapses(name string, now time.Time) bool {
	e := l.of(name)
	return !e.sure || !e.sent.IsZero() && !now.Before(e.until.Add(-e.ttl/PerTTL))
}

// Begin notes that a response is sent. [Leases.Sent] adds the layers in it.
func (l *Leases) Begin() { l.flight = l.flight[:0] }

// Sent notes that the response has a layer, with a time to live; 0: the proxy keeps it for ever.
func (l *Leases) Sent(name string, ttl time.Duration, now time.Time) {
	e := l.of(name)
	e.sent, e.ttl = now, ttl
	l.flight = append(l.flight, e)
}

// Taken notes that the proxy took the last response.
func (l *Leases) Taken() {
	for _, e := range l.flight {
		e.sure, e.until = true, time.Time{}
		if e.ttl > 0 {
			e.until = e.sent.Add(e.ttl) // its time began when the response arrived, so it keeps the layer a little longer
		}
	}
}

// Refused notes that the proxy refused the last response.
func (l *Leases) Refused() {
	for _, e := range l.flight {
		e.sure = false
	}
}

// Until returns when the proxy drops a layer that it has taken, unless it is renewed; zero: never.
func (l *Leases) Until(name string) time.Time {
	if e := l.all[name]; e != nil {
		return e.until
	}
	return time.Time{}
}
