package breaker

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// relay is two engines that hand one breaker to and fro, beside an engine that has all the
// calls.
type relay struct {
	alone   *Engine
	engines [2]*Engine
	owner   int
	times   int // the number of handovers
	now     Instant
	config  Config
	// late: outcomes are also reported late, from samples, and taken back. Then a call that has a permit in one
	// world has one in the other. Else a call whose permit was left behind is reported in its place.
	late  bool
	calls []*relayed
	want  []Transition // the transitions in the engine that has all the calls
	got   []Transition // the owners' transitions
}

// relayed is one call in both worlds.
type relayed struct {
	alone, permit Permit
	times         int // the owner at that time gave the permit
	remote        bool
	probe         uint32
	generation    uint64
	began         Instant
	slow          bool // the engine that has all the calls has found it slow in flight
	unjudged      bool
}

// TestHandoverChangesNothing: whatever happens, the engine that has a breaker after many
// handovers knows the same and has made the same transitions as an engine that always had it.
func TestHandoverChangesNothing(t *testing.T) {
	handovers, transitions := 0, 0
	for round := range 10 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				r := handedToAndFro(t)
				handovers, transitions = handovers+r.times, transitions+len(r.got)
			})
		})
	}
	t.Logf("the same after %d handovers and %d transitions", handovers, transitions)
	if handovers == 0 || transitions == 0 {
		t.Errorf("%d handovers and %d transitions, want many", handovers, transitions)
	}
}

// FuzzHandoverChangesNothing lets the fuzzer choose the values that the property draws.
func FuzzHandoverChangesNothing(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { handedToAndFro(t) }))
}

func handedToAndFro(t *rapid.T) *relay {
	r := &relay{now: Instant(rapid.Int64Range(1, 1e15).Draw(t, "start")), config: drawConfig(t)}
	r.alone = NewEngine(Options{Listen: func(tr Transition) { r.want = append(r.want, tr) }})
	for i := range r.engines {
		r.engines[i] = NewEngine(Options{Listen: func(tr Transition) {
			if i == r.owner {
				r.got = append(r.got, tr)
			}
		}})
	}
	r.each(func(e *Engine) { e.Apply([]Spec{{Key: keyA, Config: r.config, Lease: time.Second}}, r.now) })
	r.late = rapid.Bool().Draw(t, "late")
	t.Repeat(map[string]func(*rapid.T){
		"acquire":  r.acquire,
		"burst":    r.burst,
		"settle":   r.settle,
		"report":   r.report,
		"byhand":   r.byHand,
		"apply":    r.apply,
		"handover": r.handover,
		"forth":    r.handover,
		"":         r.check,
	})
	return r
}

func (r *relay) each(do func(*Engine)) {
	do(r.alone)
	for _, e := range r.engines {
		do(e)
	}
}

// both does the same in the engine that has all the calls and in the owner.
func (r *relay) both(do func(*Engine)) {
	do(r.alone)
	do(r.engines[r.owner])
}

// step moves time, often to the instant at which the state or a lease ends.
func (r *relay) step(t *rapid.T) {
	h, _ := r.alone.Holding(keyA, r.now)
	ends := []Instant{h.Until, h.Until - 1, h.RampUntil, h.Probed.Resume, r.alone.Breaker(keyA).due}
	for _, p := range h.Probes {
		ends = append(ends, p.Deadline-1, p.Deadline)
	}
	ends = slices.DeleteFunc(ends, func(at Instant) bool { return at < r.now || at == never })
	switch kind := rapid.IntRange(0, 7).Draw(t, "time"); {
	case kind < 3:
	case kind < 5:
		r.now += Instant(rapid.Int64Range(0, int64(200*time.Millisecond)).Draw(t, "short"))
	case kind < 7 && len(ends) > 0:
		r.now = rapid.SampledFrom(ends).Draw(t, "end")
	default:
		r.now += Instant(rapid.Int64Range(0, int64(4*time.Second)).Draw(t, "long"))
	}
	r.look()
}

// look brings both to now.
func (r *relay) look() {
	r.both(func(e *Engine) { e.Breaker(keyA).Status(r.now) })
	for _, c := range r.calls {
		c.slow = c.slow || r.alone.Breaker(keyA).hasPassed(c.alone.mark)
	}
}

// hasPassed reports whether the call of a permit has become slow in flight.
func (b *Breaker) hasPassed(m mark) bool {
	timed := m.low() == inCell || m.low() == inBreaker
	return timed && b.state == Closed && b.epochs.include(m) && m.epoch() != b.epochs.current &&
		!slices.ContainsFunc(b.flight.slices(), func(s slice) bool { return s.epoch == m.epoch() })
}

func (r *relay) acquire(t *rapid.T) {
	r.step(t)
	r.begin(t)
}

func (r *relay) begin(t *rapid.T) *relayed {
	owner := r.engines[r.owner]
	c := &relayed{times: r.times, remote: rapid.Bool().Draw(t, "remote"), began: r.now}
	acquire := func(e *Engine) (Permit, Decision) { return e.Breaker(keyA).Acquire(r.now) }
	if c.remote || rapid.Bool().Draw(t, "uploading") {
		acquire = func(e *Engine) (Permit, Decision) { return e.Breaker(keyA).AcquireUploading(r.now) }
	}
	var want, got Decision
	if s := r.alone.Breaker(keyA).Status(r.now); r.late && c.remote && s.State != HalfOpen {
		_, c.generation, want = r.alone.AcquireProbe(keyA, r.now)
	} else {
		c.generation = s.Generation
		c.alone, want = acquire(r.alone)
	}
	generation := c.generation
	if c.remote {
		c.probe, generation, got = owner.AcquireProbe(keyA, r.now)
	} else {
		c.permit, got = acquire(owner)
		c.probe = c.permit.Probe()
	}
	if got != want || c.probe != c.alone.Probe() || generation != c.generation {
		t.Fatalf("decision %+v, probe %d, generation %d; want %+v, %d, %d", got, c.probe, generation, want, c.alone.Probe(), c.generation)
	}
	if !want.Admitted {
		return nil
	}
	c.unjudged = c.alone.mark.low() == unjudged
	r.calls = append(r.calls, c)
	return c
}

// burst makes calls one after the other, so that the breaker trips and recovers often.
func (r *relay) burst(t *rapid.T) {
	r.step(t)
	for _, o := range rapid.SliceOfN(rapid.SampledFrom([]Outcome{Failure, Failure, Success, Success, Success, Timeout, Abandoned}), 1, 8).Draw(t, "outcomes") {
		if c := r.begin(t); c != nil {
			r.now += Instant(rapid.SampledFrom([]time.Duration{0, 0, time.Millisecond}).Draw(t, "took"))
			r.look()
			r.end(t, c, o)
		}
	}
}

func (r *relay) settle(t *rapid.T) {
	if len(r.calls) == 0 {
		return
	}
	c := rapid.SampledFrom(r.calls).Draw(t, "call")
	r.step(t)
	r.end(t, c, rapid.SampledFrom([]Outcome{Success, Success, Failure, Timeout, Ignored, Abandoned}).Draw(t, "outcome"))
}

// end ends a call in both worlds. Where the present owner has not given the permit, the probe's id
// settles the call, or else a report does.
func (r *relay) end(t *rapid.T, c *relayed, o Outcome) {
	r.calls = slices.DeleteFunc(r.calls, func(x *relayed) bool { return x == c })
	owner, had := r.engines[r.owner], c.alone.cell != nil
	local := !c.remote && c.times == r.times
	took := rapid.SampledFrom([]time.Duration{0, r.now.Sub(c.began), r.config.SlowCallDurationThreshold}).Draw(t, "service")
	how := howProbe(rapid.IntRange(0, 6).Draw(t, "how"))
	if c.probe == 0 || !c.remote && !local {
		how = settled // a permit that was left behind is settled as any other
	}
	c.alone.endAs(how, o, took, r.now)
	if local {
		c.permit.endAs(how, o, took, r.now)
		return
	}
	c.permit.Forget(r.now)
	if c.probe != 0 {
		if how == uploading {
			owner.Breaker(keyA).uploading(c.probe, r.now)
		}
		owner.SettleProbe(keyA, Settlement{Probe: c.probe, Outcome: o, Took: took, Unsent: how == unsent, Refused: how == refused}, r.now)
		return
	}
	told := Reported{Outcome: o, At: r.now, Lasted: r.now.Sub(c.began), Duration: took, Generation: c.generation, Early: c.slow}
	if c.unjudged {
		told.Generation = 1 << 60 // no generation has it
	}
	owner.Report(keyA, []Reported{told}, r.now)
	if had { // a report makes the breaker judge, also if it changes nothing
		told = Reported{Running: true, At: r.now, Generation: 1 << 60}
	}
	r.alone.Report(keyA, []Reported{told}, r.now)
}

// howProbe is how a probe ends.
type howProbe int

const (
	refused howProbe = iota
	unsent
	uploading
	settled
)

// endAs ends the call of a permit. A call that goes on after it was refused is no longer watched.
func (p *Permit) endAs(how howProbe, o Outcome, took time.Duration, now Instant) {
	switch {
	case p.cell == nil:
	case how == refused:
		if p.Refuse(now).Admitted {
			p.cell = nil
		}
	case how == unsent:
		p.Unsent(o, took, now)
	case how == uploading:
		p.cell.breaker.uploading(p.Probe(), now)
		p.Settle(o, took, now)
	default:
		p.Settle(o, took, now)
	}
}

// report reports outcomes from the recent past, in any order, and takes some successes back.
func (r *relay) report(t *rapid.T) {
	r.step(t)
	outcomes := rapid.SliceOfN(rapid.Custom(r.reported), 1, 12).Draw(t, "outcomes")
	r.both(func(e *Engine) { e.Report(keyA, slices.Clone(outcomes), r.now) })
}

func (r *relay) reported(t *rapid.T) Reported {
	ago := rapid.SampledFrom([]time.Duration{0, 0, 1, 40 * time.Millisecond, time.Second, time.Minute}).Draw(t, "ago")
	o := Reported{
		Outcome:  rapid.SampledFrom([]Outcome{Success, Failure, Timeout, Ignored, Abandoned}).Draw(t, "outcome"),
		At:       r.now.Add(-ago),
		Duration: rapid.SampledFrom([]time.Duration{0, 5 * time.Millisecond, 2 * time.Second}).Draw(t, "duration"),
		OneIn:    rapid.SampledFrom([]uint32{0, 1, 3, 40}).Draw(t, "oneIn"),
		Probe:    rapid.Bool().Draw(t, "probe"),
		Corrects: rapid.IntRange(0, 3).Draw(t, "corrects") == 0,
		Running:  rapid.IntRange(0, 3).Draw(t, "running") == 0,
		Early:    rapid.IntRange(0, 3).Draw(t, "early") == 0,
	}
	if !r.late {
		o.At, o.OneIn, o.Corrects = r.now, 0, false
	}
	if o.At == 0 { // which a handover cannot tell from an instant that is not known
		o.At = 1
	}
	if o.Corrects {
		o.Was = rapid.SampledFrom([]Outcome{Success, Success, Ignored}).Draw(t, "was")
		o.Settled = o.At
	}
	return o
}

// byHand forces or resets the breaker, as an operator does.
func (r *relay) byHand(t *rapid.T) {
	r.step(t)
	if rapid.Bool().Draw(t, "reset") {
		r.both(func(e *Engine) { _ = e.Reset(keyA, "somebody", "a reason", r.now) })
		return
	}
	o := Override{
		State: rapid.SampledFrom([]State{Open, Closed}).Draw(t, "state"), By: "somebody", Note: "a reason",
		Until: r.now.Add(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Hour}).Draw(t, "for")),
	}
	r.both(func(e *Engine) { _ = e.Force(keyA, o, r.now) }) // an error where the mode is Disabled, in both
}

// apply changes the policy in all engines. The mode ForcedOpen comes and goes in no policy: it would
// make transitions in the engine that does not have the breaker.
func (r *relay) apply(t *rapid.T) {
	next := drawConfig(t)
	if next.Mode == ForcedOpen || r.config.Mode == ForcedOpen {
		return
	}
	r.step(t)
	r.config = next
	r.each(func(e *Engine) { e.Apply([]Spec{{Key: keyA, Config: next, Lease: time.Second}}, r.now) })
}

// handover changes the owner. In between, time may pass, or successes are reported to the next owner.
func (r *relay) handover(t *rapid.T) {
	r.step(t)
	for _, c := range slices.Clone(r.calls) {
		if timed := c.alone.mark.low() == inCell || c.alone.mark.low() == inBreaker; c.probe == 0 && !c.remote && (r.late || timed && !c.slow) {
			r.end(t, c, Success) // the next owner would not see it become slow
		}
	}
	giver, taker := r.engines[r.owner], r.engines[1-r.owner]
	before := giver.Breaker(keyA).Status(r.now)
	h, ok := giver.HandOver(keyA, r.now)
	if !ok {
		t.Fatal("there is nothing to hand over")
	}
	asNew(t, giver, &before, r.now)
	r.owner, r.times = 1-r.owner, r.times+1
	told := len(r.got)
	between := rapid.IntRange(0, 2).Draw(t, "between")
	if between == 1 && r.config.Mode != ForcedOpen && h.State == Closed && h.Recent == nil {
		success := []Reported{{At: r.now}}
		taker.Report(keyA, success, r.now)
		r.alone.Report(keyA, success, r.now)
	}
	if between == 2 {
		r.now += Instant(rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "way"))
	}
	if !taker.TakeOver(&h, 0, r.now) {
		t.Fatal("the breaker was not taken over")
	}
	if between == 0 && len(r.got) != told {
		t.Fatalf("taking over made the transitions %+v, want none", r.got[told:])
	}
	r.look()
}

// asNew checks a breaker that was left behind.
func asNew(t *rapid.T, e *Engine, before *Status, now Instant) {
	b := e.Breaker(keyA)
	got := b.Status(now)
	want := Status{
		Key: keyA, Config: before.Config, Generation: before.Generation, Sequence: before.Sequence, Since: now, Admits: Whole,
		Counts: before.Counts, SuccessLag: before.SuccessLag, IgnoredLag: before.IgnoredLag, LastFailure: before.LastFailure, InFlight: before.InFlight,
	}
	if got.Config.Mode == ForcedOpen {
		want.State, want.Admits = Open, 0
	}
	if got != want || b.due != never {
		t.Fatalf("left behind\n%+v due at %d, want\n%+v and never", got, b.due, want)
	}
}

// check compares all that the owner knows with what the other engine knows.
func (r *relay) check(t *rapid.T) {
	r.look()
	owner := r.engines[r.owner]
	want, _ := r.alone.Holding(keyA, r.now)
	got, _ := owner.Holding(keyA, r.now)
	if !r.late { // calls that have permits in one world are reported in the other
		got.Run, want.Run = Run{Failures: got.Run.Failures}, Run{Failures: want.Run.Failures}
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("what the owner knows differs:\n%s", differences(got, want))
	}
	is, should := owner.Breaker(keyA).Status(r.now), r.alone.Breaker(keyA).Status(r.now)
	if is.RetryAfter != should.RetryAfter || is.ProbesInFlight != should.ProbesInFlight || is.Admits != should.Admits || is.Window != should.Window || is.Openings != should.Openings {
		t.Fatalf("status\n%+v, want\n%+v", is, should)
	}
	if !reflect.DeepEqual(r.got, r.want) {
		t.Fatalf("the transitions differ:\n%s", differences(r.got, r.want))
	}
	r.compareCounts(t, should.Counts)
}

// compareCounts compares the totals of both engines together with the totals of the engine that has all the calls. Calls in
// flight are not compared, nor calls that would have been rejected: such a call of another process is counted when it is
// reported. Where outcomes are taken back, an engine may have counted none that it could take back.
func (r *relay) compareCounts(t *rapid.T, want Counts) {
	var got Counts
	for _, e := range r.engines {
		s := e.Breaker(keyA).Status(r.now)
		got.sum(&s.Counts)
	}
	for _, c := range []*Counts{&got, &want} {
		c.Requests, c.WouldReject = 0, 0
		if r.late {
			c.Successes, c.Ignored, c.Slow = 0, 0, 0
		}
	}
	if got != want {
		t.Fatalf("counts %+v, want %+v", got, want)
	}
}

// differences returns the lines in which two values differ, with all that they point to.
func differences(got, want any) string {
	var diff strings.Builder
	var lines [2][]string
	for i, v := range []any{got, want} {
		text, _ := json.MarshalIndent(v, "", " ")
		lines[i] = strings.Split(string(text), "\n")
	}
	for i := range max(len(lines[0]), len(lines[1])) {
		is, should := "", ""
		if i < len(lines[0]) {
			is = lines[0][i]
		}
		if i < len(lines[1]) {
			should = lines[1][i]
		}
		if is != should {
			fmt.Fprintf(&diff, "line %d: %s, want %s\n", i, is, should)
		}
	}
	return diff.String()
}
