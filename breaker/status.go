package breaker

import "time"

// Counts are totals since the breaker was made. For one breaker,
// Requests = Rejected + Successes + Failures + Ignored + the calls in flight.
// A report that corrects an outcome takes it out of its total again, so Successes and
// Ignored can fall; see [Status.SuccessLag].
type Counts struct {
	Requests      uint64 // calls that asked for a permit, or were reported
	Rejected      uint64 // calls that got no permit
	WouldReject   uint64 // calls that were admitted only because the mode is MetricsOnly
	Successes     uint64
	Failures      uint64 // timeouts included
	Timeouts      uint64
	Slow          uint64 // calls that were slow, and succeeded, failed or were abandoned
	Ignored       uint64 // abandoned calls included, also those that were slow
	LeasesExpired uint64 // half-open permits that were not resolved by their deadline
}

// Status describes a breaker at one instant.
type Status struct {
	Key        Key
	Config     *Config // shared; must not be changed
	State      State
	Openings   uint32 // openings in a row that are not forgotten; they make the next wait longer
	Generation uint64
	Sequence   uint64  // the number of the last transition; 0: there was none
	Since      Instant // when the state began
	// RetryAfter is how long calls are rejected until the first probe. Open: 0 where time does not end the state. Half-open: 0 where
	// probes are admitted from Since on; after [Engine.TakeOver] the time until its earliest, which is below 0 once that has passed.
	// Closed: 0.
	RetryAfter     time.Duration
	Admits         Ratio // closed: the share of calls that is admitted, below Whole in the ramp; else 0
	ProbesInFlight uint32
	InFlight       uint64 // calls that hold a permit; probes, and calls that began in earlier states, included
	Window         WindowCounts
	Counts         Counts
	// SuccessLag and IgnoredLag are how many successes and ignored calls were taken back
	// and not yet followed by as many new ones. A counter that must never fall adds them
	// to Counts.
	SuccessLag, IgnoredLag uint32
	LastFailure            Instant // meaningful when Counts.Failures > 0
	// Override is the state that an operator has forced; nil: none.
	Override *Override
	// Episode is the present episode, or the last one. It is nil where the breaker was
	// always closed, where it was reset, and where an earlier version did not store it.
	Episode *Episode
	// Nodes is how many breakers of proxies this status sums up, where proxies have
	// breakers of their own. OpenNodes is how many of these are open.
	Nodes, OpenNodes uint32
}

// Merge adds the status of the breaker of one proxy to a sum. The sum has the worst
// state of all.
func (s *Status) Merge(o *Status) {
	s.Nodes++
	if o.State == Open {
		s.OpenNodes++
	}
	s.Episode = s.Episode.merge(s.State, o.Episode, o.State)
	if o.State > s.State {
		s.State, s.Since, s.RetryAfter, s.Generation = o.State, o.Since, o.RetryAfter, o.Generation
	}
	s.Admits = min(s.Admits, o.Admits)
	s.ProbesInFlight += o.ProbesInFlight
	s.InFlight += o.InFlight
	s.Openings = max(s.Openings, o.Openings)
	s.SuccessLag += o.SuccessLag
	s.IgnoredLag += o.IgnoredLag
	s.LastFailure = max(s.LastFailure, o.LastFailure)
	s.Window.Calls += o.Window.Calls
	s.Window.Failures += o.Window.Failures
	s.Window.Slow += o.Window.Slow
	s.Window.Run = max(s.Window.Run, o.Window.Run)
	s.Counts.sum(&o.Counts)
}

func (c *Counts) sum(o *Counts) {
	c.Requests += o.Requests
	c.Rejected += o.Rejected
	c.WouldReject += o.WouldReject
	c.Successes += o.Successes
	c.Failures += o.Failures
	c.Timeouts += o.Timeouts
	c.Slow += o.Slow
	c.Ignored += o.Ignored
	c.LeasesExpired += o.LeasesExpired
}
