package breaker

import (
	"testing"
	"time"
)

// epoch is when the tests begin. It is not a multiple of any bucket's width.
const epoch = Instant(1_000_000_000_007)

var keyA = Key{Upstream: "a"}

// rig is an engine with one breaker, and the time.
type rig struct {
	t           *testing.T
	engine      *Engine
	now         Instant
	transitions []Transition
	stray       *Permit // given in the first generation
}

// flatStatus is a status with values in place of pointers.
type flatStatus struct {
	Status
	config   Config
	override Override
	episode  flatEpisode
}

type flatEpisode struct{ cause, trip Transition }

func flat(s Status) flatStatus {
	f := flatStatus{Status: s, config: *s.Config}
	if s.Override != nil {
		f.override = *s.Override
	}
	if cause := s.cause(); cause != nil {
		f.episode.cause = *cause
	}
	if trip := s.trip(); trip != nil {
		f.episode.trip = *trip
	}
	f.Config, f.Override, f.Episode = nil, nil, nil
	return f
}

func (s Status) cause() *Transition {
	if s.Episode == nil {
		return nil
	}
	return s.Episode.Cause
}

func (s Status) trip() *Transition {
	if s.Episode == nil {
		return nil
	}
	return s.Episode.Trip
}

// flatTransition is a transition with a value in place of the pointer.
type flatTransition struct{ transition, cause Transition }

func flatten(list []Transition) (flat []flatTransition) {
	for _, tr := range list {
		f := flatTransition{transition: tr}
		if tr.Cause != nil {
			f.cause = *tr.Cause
		}
		f.transition.Cause = nil
		flat = append(flat, f)
	}
	return flat
}

func newRig(t *testing.T, cfg Config) *rig {
	t.Helper()
	if ps := cfg.Validate(); len(ps) > 0 {
		t.Fatalf("invalid config: %v", ps)
	}
	r := &rig{t: t, now: epoch}
	r.engine = NewEngine(Options{Listen: func(tr Transition) { r.transitions = append(r.transitions, tr) }})
	r.apply(cfg)
	return r
}

func (r *rig) apply(cfg Config) Changes {
	return r.engine.Apply([]Spec{{Key: keyA, Config: cfg, Lease: 20 * time.Second}}, r.now)
}

func (r *rig) after(d time.Duration) { r.now = r.now.Add(d) }

// status does what a scrape does.
func (r *rig) status() Status { return r.engine.Breaker(keyA).Status(r.now) }

// admit begins a call, which must be admitted.
func (r *rig) admit() *Permit {
	r.t.Helper()
	p, d := r.engine.Acquire(keyA, r.now)
	if !d.Admitted {
		r.t.Fatalf("rejected in state %s, want admitted", d.State)
	}
	return &p
}

// reject begins a call, which must be rejected.
func (r *rig) reject() Decision {
	r.t.Helper()
	p, d := r.engine.Acquire(keyA, r.now)
	if d.Admitted {
		r.t.Fatalf("admitted in state %s, want rejected", d.State)
	}
	if p != (Permit{}) {
		r.t.Errorf("a rejected call got the permit %+v", p)
	}
	return d
}

// call makes calls that take no time.
func (r *rig) call(outcomes ...Outcome) {
	r.t.Helper()
	for _, o := range outcomes {
		r.admit().Done(o, r.now)
	}
}

// want checks the state and that the last transition was edge, and returns that transition.
func (r *rig) want(edge Edge) Transition {
	r.t.Helper()
	if got := r.status().State; got != edge.To {
		r.t.Fatalf("state %s, want %s", got, edge.To)
	}
	if len(r.transitions) == 0 {
		r.t.Fatalf("no transition, want %v", edge)
	}
	last := r.transitions[len(r.transitions)-1]
	if last.Edge != edge {
		r.t.Fatalf("last transition %v, want %v", last.Edge, edge)
	}
	return last
}

// wantState checks the state and how many transitions led there.
func (r *rig) wantState(s State, transitions int) {
	r.t.Helper()
	if got := r.status().State; got != s || len(r.transitions) != transitions {
		r.t.Fatalf("state %s after %d transitions, want %s after %d", got, len(r.transitions), s, transitions)
	}
}

// repeat returns n times the outcome o.
func repeat(o Outcome, n int) []Outcome {
	all := make([]Outcome, n)
	for i := range all {
		all[i] = o
	}
	return all
}

// runRule trips by failures in a row only.
func runRule(n uint32) Config {
	cfg := DefaultConfig()
	cfg.ConsecutiveFailures, cfg.FailureRateThreshold, cfg.SlowCallRateThreshold = n, 0, 0
	return cfg
}

// rateRule trips by the failure rate only.
func rateRule(r Ratio, minimum uint32) Config {
	cfg := DefaultConfig()
	cfg.ConsecutiveFailures, cfg.FailureRateThreshold, cfg.MinimumNumberOfCalls = 0, r, minimum
	cfg.SlowCallRateThreshold = 0
	return cfg
}

// openRig returns a breaker that has just opened after three failures.
func openRig(t *testing.T, cfg Config) *rig {
	t.Helper()
	cfg.ConsecutiveFailures = 3
	r := newRig(t, cfg)
	r.call(Failure, Timeout, Failure)
	r.want(Edge{Closed, Open, ConsecutiveFailures})
	return r
}

// halfOpenRig returns a breaker that admits n probes at once and needs m successes.
func halfOpenRig(t *testing.T, n, m uint32) *rig {
	t.Helper()
	cfg := DefaultConfig()
	cfg.PermittedNumberOfCallsInHalfOpenState, cfg.SuccessThreshold, cfg.SlowCallRateThreshold = n, m, 0
	r := openRig(t, cfg)
	r.after(cfg.WaitDurationInOpenState)
	r.want(Edge{Open, HalfOpen, WaitOver})
	return r
}

// uploading says that the request of a call has not ended, if the call is a probe; otherwise it only looks at the breaker.
func (b *Breaker) uploading(probe uint32, now Instant) {
	if probe == 0 {
		b.Status(now)
		return
	}
	b.Report([]Reported{{Uploading: probe}}, now)
}
