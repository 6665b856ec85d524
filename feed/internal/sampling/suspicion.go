package sampling

import (
	"math"
	"time"

	"breakwater.dev/breaker"
)

// The run of failures by which a breaker trips is certain only where all successes are logged. Where they are sampled it has
// to be very long. So when a run begins that is hardly chance, proxies log all calls for a while.
const (
	// suspicion is how probable it may be that a run which begins that while came about by chance. A mistake costs some
	// seconds in which all calls are logged, so it may happen once in some minutes; a breaker trips by far less luck.
	suspicion = 1e-6
	// calm is how long there must be no such run until calls are sampled again.
	calm = 10 * time.Second
	// maxExactRate bounds how many calls per second are logged in all for that reason. One core counts some times as many.
	maxExactRate = 100_000
	// runPerStep is how many failures in a row convince a breaker for each call of a sample's step, if failures are
	// tolerated up to half of the calls. exactDelay is about the time in which a run becomes certain if all calls are
	// logged. Where the sample convinces sooner, it will do.
	runPerStep = 28
	exactDelay = 100 * time.Millisecond
)

// Suspicious reports whether the present run of failures of a breaker is hardly chance, given the failures before it. One in oneIn
// of the successes is logged. Failures at the rate to which the breaker's window has become used are not suspicious, however
// many there are.
func Suspicious(w *breaker.WindowCounts, oneIn uint32) bool {
	return w.RunChance(oneIn) <= math.Log(suspicion)
}

// Affordable reports whether proxies should log all calls of one more breaker. rate is how many calls of it pass in a second, and
// load the same for all breakers whose calls are logged already. One in oneIn of its successes was logged so far.
func Affordable(rate, load float64, oneIn uint32) bool {
	return load+rate <= maxExactRate && runPerStep*float64(oneIn) > rate*exactDelay.Seconds()
}

// Overloaded reports whether the load has grown so much that calls must be sampled again.
func Overloaded(load float64) bool { return load > 2*maxExactRate }

// Alert is the time in which all calls of a breaker are logged. The zero value is over.
type Alert struct{ until breaker.Instant }

// Raise begins the alert, or makes it last longer: at least for 10 s from now on.
func (a *Alert) Raise(now breaker.Instant) { a.until = now.Add(calm) }

// End ends the alert.
func (a *Alert) End() { a.until = 0 }

// Over reports whether the alert is over.
func (a *Alert) Over(now breaker.Instant) bool { return now >= a.until }
