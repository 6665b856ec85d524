package suspects

import (
	"math"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/sampling"
	"breakwater.dev/internal/lockorder"
)

// Step is how often outcomes that have waited long enough are reported.
const Step = 5 * time.Millisecond

const (
	// settling is how long an outcome waits for the outcomes of calls that ended before it through other proxies. It is the
	// flush interval of Envoy's log and the time that a message takes.
	settling = 60 * time.Millisecond
	// takingUp is how long the workers of a proxy may still sample calls after the proxy has acknowledged its layer.
	takingUp = 10 * time.Millisecond
	// maxWaiting is how many outcomes may wait. When there are more, all go at once.
	maxWaiting = 16_384
)

// Proxy is a proxy that makes calls of a suspect.
type Proxy interface {
	// ExactSince returns since when the proxy logs all calls of a breaker. exact is false while it samples them.
	ExactSince(now breaker.Instant, key breaker.Key) (since breaker.Instant, exact bool)
}

// Suspect is one breaker that may be about to trip.
type Suspect struct {
	subject breaker.Subject
	oneIn   uint32 // one in oneIn of the successes was logged before

	mu        lockorder.Mutex[lockorder.FeedSuspect] // guards what follows
	alert     sampling.Alert
	unsure    []Proxy         // proxies that may still sample calls
	from      breaker.Instant // since when the other proxies log all calls that begin
	longest   time.Duration   // how long a call may take that began before
	waiting   []breaker.Reported
	next      breaker.Instant // when outcomes are reported again
	reporting bool            // a goroutine reports outcomes
	over      bool
}

// New returns a suspect as of now. One in oneIn of its successes was logged until now.
func New(of breaker.Subject, oneIn uint32, now breaker.Instant) *Suspect {
	x := &Suspect{subject: of, oneIn: oneIn}
	x.alert.Raise(now)
	return x
}

// Watch adds a proxy that makes calls of the breaker. longest is the longest time that one took recently. All proxies have to be
// added before outcomes are.
func (x *Suspect) Watch(p Proxy, longest time.Duration) {
	x.unsure, x.longest = append(x.unsure, p), max(x.longest, longest)
}

// Hold has outcomes wait until the other proxies have reported, too. It returns false after Close; the outcomes then have to
// be reported at once.
func (x *Suspect) Hold(outcomes []breaker.Reported) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return false
	}
	x.waiting = append(x.waiting, outcomes...)
	return true
}

// Settle reports the outcomes that have waited long enough, and judges the breaker again: its alert goes on while its run is
// suspicious, and ends when it is no longer closed. It does nothing where it was called just before.
func (x *Suspect) Settle(d breaker.Decider, now breaker.Instant) {
	outcomes, due := x.take(now)
	if !due {
		return
	}
	if len(outcomes) > 0 {
		d.Report(x.subject, outcomes, now)
	}
	suspicious, closed := Judge(d, x.subject.Key, x.oneIn, now)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.reporting = false
	switch {
	case !closed:
		x.alert.End()
	case suspicious:
		x.alert.Raise(now)
	}
}

// Close reports all outcomes that wait. The suspect must have left the list.
func (x *Suspect) Close(d breaker.Decider, now breaker.Instant) {
	x.mu.Lock()
	x.over = true
	outcomes := x.pick(now, never)
	x.mu.Unlock()
	if len(outcomes) > 0 {
		d.Report(x.subject, outcomes, now)
	}
}

// Closed reports whether Close was called.
func (x *Suspect) Closed() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.over
}

// Judge reports whether the present run of failures of a breaker is suspicious, and whether the breaker is closed. One in oneIn of its
// successes is logged.
func Judge(d breaker.Decider, key breaker.Key, oneIn uint32, now breaker.Instant) (suspicious, closed bool) {
	status, known := d.Status(key, now)
	if !known || status.State != breaker.Closed {
		return false, false
	}
	return status.Config.ConsecutiveFailures > 0 && sampling.Suspicious(&status.Window, oneIn), true
}

func (x *Suspect) isOver(now breaker.Instant) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.alert.Over(now)
}

// take returns the outcomes that have waited long enough. due is false while another goroutine reports, or has just done so.
func (x *Suspect) take(now breaker.Instant) (outcomes []breaker.Reported, due bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.reporting || now < x.next {
		return nil, false
	}
	x.reporting, x.next = true, now.Add(Step)
	until := now.Add(-settling)
	if len(x.waiting) > maxWaiting {
		until = never
	}
	return x.pick(now, until), true
}

// pick takes out the outcomes of calls that ended until an instant, and says of each failure how many successes may have gone unseen
// before it. The caller holds x.mu.
func (x *Suspect) pick(now, until breaker.Instant) (outcomes []breaker.Reported) {
	certain := x.certainFrom(now)
	x.waiting = slices.DeleteFunc(x.waiting, func(o breaker.Reported) bool {
		if o.At > until {
			return false
		}
		switch {
		case !o.Outcome.Failed():
		case o.At >= certain:
			o.OneIn = 1
		default:
			o.OneIn = max(o.OneIn, x.oneIn)
		}
		outcomes = append(outcomes, o)
		return true
	})
	return outcomes
}

// never is later than all other instants.
const never = breaker.Instant(math.MaxInt64)

// certainFrom returns from when on all calls that end are logged: every proxy logs the calls that begin, and the calls that
// began before have ended. The caller holds x.mu.
func (x *Suspect) certainFrom(now breaker.Instant) breaker.Instant {
	for n := len(x.unsure); n > 0; n-- {
		since, exact := x.unsure[n-1].ExactSince(now, x.subject.Key)
		if !exact {
			return never
		}
		x.from, x.unsure = max(x.from, since), x.unsure[:n-1]
	}
	return x.from.Add(takingUp + x.longest)
}
