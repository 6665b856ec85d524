package lease

import (
	"time"

	"breakwater.dev/gate"
)

// PerTTL is how often a layer is renewed in its time to live, so that one renewal may be lost.
const PerTTL = 3

// Leases are the leases of one proxy's layers, by name. The zero value has none.
type Leases struct {
	all     map[string]*lease
	flight  []*lease  // in the last response
	applies *gate.Mix // the gates in the layers that the proxy has taken, even where it has dropped them since; nil: none
}

// lease has the times of one layer of a proxy.
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

// Due returns the layers that are to be renewed now, and those whose content has to come with that. ttls are the layers with a time
// to live that the proxy has or is about to get, by name; the time to live may be another one than before. If one is due, the layers that
// are due soon come with it, so that one response renews all of them. next is after what time to look again; 0 or less: now, or there
// is none.
func (l *Leases) Due(ttls map[string]time.Duration, now time.Time) (renew, again []string, next time.Duration) {
	first := true
	for name, ttl := range ttls {
		if wait := l.wait(name, ttl, now); first || wait < next {
			first, next = false, wait
		}
	}
	if first || next > 0 {
		return nil, nil, next
	}
	for name, ttl := range ttls {
		switch {
		case l.wait(name, ttl, now) > ttl/PerTTL/2:
		case l.lapses(name, now):
			again = append(again, name)
		default:
			renew = append(renew, name)
		}
	}
	return renew, again, next
}

// wait returns after what time a layer is to be renewed; 0 or less: now. A layer from an earlier stream is renewed at once, because
// its time is running.
func (l *Leases) wait(name string, ttl time.Duration, now time.Time) time.Duration {
	e := l.of(name)
	if e.ttl > 0 {
		ttl = min(ttl, e.ttl)
	}
	return e.sent.Add(ttl / PerTTL).Sub(now)
}

// lapses reports whether the proxy may drop a layer before a renewal that is sent now arrives. A proxy that has just said that it has
// a layer from an earlier stream is taken at its word: it refuses the renewal otherwise.
func (l *Leases) lapses(name string, now time.Time) bool {
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
