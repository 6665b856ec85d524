package outlier

import (
	"math"
	"net/netip"
	"time"
)

// endpoint is the detector's memory of one endpoint.
type endpoint struct {
	address netip.AddrPort
	since   Instant // calls that ended earlier do not count
	out     bool
	at      Instant       // when it was ejected
	length  time.Duration // how long the ejection lasts, at least
	times   uint32        // ejections that are not forgotten; each interval in rotation forgets one
	found   uint64        // how often a rule has found it
	runs    [ConsecutiveLocalOriginFailures + 1]run
	// external counts the calls of this interval that were answered, or all calls where
	// errors are not split by their origin. earlier has the same for the interval before.
	external, earlier tally
	local             tally // the attempts to reach it; only where errors are split
}

// forget begins to count from 0 at now.
func (e *endpoint) forget(now Instant) {
	e.since = now
	clear(e.runs[:])
	e.external, e.earlier, e.local = tally{}, tally{}, tally{}
}

// tally counts calls.
type tally struct{ calls, failures uint64 }

func (t *tally) succeeded(n uint32) { t.calls += uint64(n) }

func (t *tally) failed() {
	t.calls++
	t.failures++
}

// rate returns the share of calls that succeeded.
func (t *tally) rate() float64 { return float64(t.calls-t.failures) / float64(t.calls) }

// run is errors in a row.
type run struct {
	length uint32
	oneIn  uint32 // the sparsest sample of successes in it; at 0 and 1 every success is reported
}

const (
	// luck is how probable it may be that a run came about by chance, where successes are
	// sampled and some went unseen in it. A mesh sees many runs.
	luck = 1e-12
	// leastRate is the rate of errors at which a run has to be improbable, even where the
	// endpoint's own rate was lower. A steady rate of errors is for the rules that compare
	// rates.
	leastRate = 0.5
)

// unbroken reports whether no success can have gone unseen in a run, whose errors are in
// now already. Where one success in n is reported, and calls fail at a rate r, the next
// outcome to be seen is an error with probability r/(r+(1-r)/n).
func (x *run) unbroken(now, earlier *tally) bool {
	if x.oneIn <= 1 {
		return true
	}
	calls, failures := now.calls+earlier.calls, now.failures+earlier.failures
	calls, failures = calls-min(calls, uint64(x.length)), failures-min(failures, uint64(x.length))
	r := min(max((float64(failures)+1)/(float64(calls)+2), leastRate), 0.9)
	next := r / (r + (1-r)/float64(x.oneIn))
	return float64(x.length)*math.Log(next) <= math.Log(luck)
}

// draw returns a number that looks random, and is the same for the same arguments.
func draw(upstream string, endpoint netip.AddrPort, n uint64) uint64 {
	h := uint64(14695981039346656037) // FNV-1a, mixed as in SplitMix64
	mix := func(b byte) { h = (h ^ uint64(b)) * 1099511628211 }
	for i := range len(upstream) {
		mix(upstream[i])
	}
	for _, b := range endpoint.Addr().As16() {
		mix(b)
	}
	mix(byte(endpoint.Port()))
	mix(byte(endpoint.Port() >> 8))
	h += n * 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
