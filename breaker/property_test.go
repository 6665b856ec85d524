package breaker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drift is how much earlier than the last caller's time the next caller's may be.
const drift = time.Millisecond

// world is an engine beside its model.
type world struct {
	engine *Engine
	now    Instant
	pairs  []*pair        // the breakers of the last Apply, in its order
	gone   []*pair        // removed breakers, whose handles and permits still work
	kept   map[Key]*model // the models as they were when they were removed
	calls  []*journey
	heard  map[*model][]Transition
	// unwatched: a breaker that does nothing is hardly ever looked at. Looking brings it to
	// the present, and so hides a change that the engine has missed.
	unwatched bool
	promised  Instant // when Advance said that it has to be called again
	woken     bool    // since then Wake has asked to call it sooner
}

type pair struct {
	breaker   *Breaker
	model     *model
	succeeded []Instant // when the last calls with permits succeeded that have not been taken back
}

type journey struct {
	permit Permit
	ticket *ticket
	pair   *pair
}

// TestEngineIsItsModel drives both with the same calls, and compares everything
// they say after every step.
func TestEngineIsItsModel(t *testing.T) {
	histories := 0
	for round := range 10 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				engineIsItsModel(t)
				histories++
			})
		})
	}
	t.Logf("engine and model agree in %d histories", histories)
}

// FuzzEngineIsItsModel lets the fuzzer choose the values that the property draws.
func FuzzEngineIsItsModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(engineIsItsModel)) }

func engineIsItsModel(t *rapid.T) {
	w := &world{
		now: Instant(rapid.Int64Range(0, 1e15).Draw(t, "start")), unwatched: rapid.Bool().Draw(t, "unwatched"),
		heard: map[*model][]Transition{}, promised: never, kept: map[Key]*model{},
	}
	w.engine = NewEngine(Options{Listen: w.listen, Wake: w.wake})
	w.apply(t)
	t.Repeat(map[string]func(*rapid.T){
		"acquire": w.acquire,
		"burst":   w.burst,
		"traffic": w.traffic,
		"done":    w.done,
		"late":    w.late,
		"again":   w.again,
		"status":  w.status,
		"advance": w.advance,
		"apply":   w.apply,
		"pass":    w.pass,
		"force":   w.force,
		"reset":   w.reset,
		"report":  w.report,
		"turned":  w.rejected,
		"restart": w.restart,
		"hang":    w.hang,
		"correct": w.correct,
		"release": w.release,
		"":        w.check,
	})
}

func (w *world) listen(tr Transition) {
	for _, p := range w.pairs {
		if p.model.spec.Key == tr.Key {
			w.heard[p.model] = append(w.heard[p.model], tr)
		}
	}
}

func (w *world) wake() { w.woken = true }

func drawConfig(t *rapid.T) Config {
	short := rapid.SampledFrom([]time.Duration{time.Millisecond, 50 * time.Millisecond, time.Second, 3 * time.Second})
	cfg := Config{
		Mode:                                  rapid.SampledFrom([]Mode{Enforce, Enforce, Enforce, Enforce, MetricsOnly, MetricsOnly, ForcedOpen, Disabled}).Draw(t, "mode"),
		SlowCallDurationThreshold:             rapid.SampledFrom([]time.Duration{0, 5 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second}).Draw(t, "slow"),
		SlowCallRateThreshold:                 rapid.SampledFrom([]Ratio{0, 1, 5_000, Whole}).Draw(t, "slowRate"),
		BackoffMultiplier:                     rapid.SampledFrom([]Hundredths{100, 150, 200, 1000}).Draw(t, "multiplier"),
		BackoffMax:                            short.Draw(t, "max"),
		BackoffJitter:                         rapid.SampledFrom([]Ratio{0, 0, 1_000, Whole}).Draw(t, "jitter"),
		RampDuration:                          rapid.SampledFrom([]time.Duration{0, 0, 100 * time.Millisecond, 3 * time.Second}).Draw(t, "ramp"),
		ConsecutiveFailures:                   rapid.Uint32Range(0, 4).Draw(t, "run"),
		WindowDuration:                        rapid.SampledFrom([]time.Duration{MinWindow, time.Second, time.Second + 9, 10 * time.Second}).Draw(t, "window"),
		MinimumNumberOfCalls:                  rapid.Uint32Range(1, 6).Draw(t, "minimum"),
		FailureRateThreshold:                  rapid.SampledFrom([]Ratio{0, 1, 2_500, 3_333, 5_000, 6_667, Whole}).Draw(t, "rate"),
		WaitDurationInOpenState:               short.Draw(t, "wait"),
		PermittedNumberOfCallsInHalfOpenState: rapid.Uint32Range(1, 3).Draw(t, "probes"),
		SuccessThreshold:                      rapid.Uint32Range(1, 4).Draw(t, "successes"),
		MaxWaitDurationInHalfOpenState:        short.Draw(t, "halfOpen"),
	}
	if rapid.Bool().Draw(t, "counted") {
		cfg.WindowSize, cfg.WindowDuration = rapid.SampledFrom([]uint32{1, 2, 5, 20}).Draw(t, "size"), 0
	}
	return cfg
}

// step moves time: not at all, a little, to the very end of a state or a lease or just
// before it, far ahead, or back by as much as two callers can be out of order.
func (w *world) step(t *rapid.T) Instant {
	var ends []Instant
	for _, p := range slices.Concat(w.pairs, w.gone) {
		if at, ok := p.model.due(); ok {
			ends = append(ends, at-1, at)
		}
		for _, pr := range p.model.probes {
			ends = append(ends, pr.deadline-1, pr.deadline)
		}
		for _, f := range p.model.flying {
			ends = append(ends, f.due-1, f.due, f.began.Add(p.model.spec.Config.SlowCallDurationThreshold))
		}
		if p.model.rampEnd > 0 {
			ends = append(ends, p.model.rampEnd-1, p.model.rampEnd)
		}
	}
	ends = slices.DeleteFunc(ends, func(at Instant) bool { return at < w.now || at >= never-1 })
	switch kind := rapid.IntRange(0, 9).Draw(t, "time"); {
	case kind < 4:
	case kind < 6:
		w.now += Instant(rapid.Int64Range(0, int64(200*time.Millisecond)).Draw(t, "short"))
	case kind < 8 && len(ends) > 0:
		w.now = rapid.SampledFrom(ends).Draw(t, "end")
	case kind == 8:
		w.now += Instant(rapid.Int64Range(0, int64(4*time.Second)).Draw(t, "long"))
	case kind == 9:
		return max(0, w.now.Add(-drift))
	}
	return w.now
}

// draw draws a breaker, which may be a removed one; nil when there has been none yet.
func (w *world) draw(t *rapid.T) *pair {
	all := slices.Concat(w.pairs, w.gone)
	if len(all) == 0 {
		return nil
	}
	return rapid.SampledFrom(all).Draw(t, "breaker")
}

func (w *world) acquire(t *rapid.T) {
	p, now := w.draw(t), w.step(t)
	if p == nil {
		return
	}
	w.begin(t, p, now)
}

// begin begins a call; nil if it is rejected.
func (w *world) begin(t *rapid.T, p *pair, now Instant) *journey {
	acquire, uploading := p.breaker.Acquire, rapid.IntRange(0, 3).Draw(t, "uploading") == 0
	if uploading {
		acquire = p.breaker.AcquireUploading
	}
	permit, got := acquire(now)
	ticket, want := p.model.acquire(uploading, now)
	if got != want {
		t.Fatalf("decision %+v, want %+v", got, want)
	}
	if !got.Admitted {
		if permit != (Permit{}) {
			t.Fatalf("a rejected call got %+v", permit)
		}
		return nil
	}
	if id, probe := permit.Probe(), ticket.probe && !ticket.unjudged; probe != (id != 0) {
		t.Fatalf("the id of a probe is %d, and it is one: %t", id, probe)
	}
	j := &journey{permit, ticket, p}
	w.calls = append(w.calls, j)
	return j
}

// burst makes calls one after the other, so that breakers trip and recover often.
// Some take as long as a slow one, so that their windows and probes are slow.
func (w *world) burst(t *rapid.T) {
	p, now := w.draw(t), w.step(t)
	if p == nil {
		return
	}
	for _, o := range rapid.SliceOfN(rapid.SampledFrom([]Outcome{Failure, Failure, Success, Success, Timeout, Ignored, Abandoned}), 1, 8).Draw(t, "outcomes") {
		slow := p.model.spec.Config.SlowCallDurationThreshold
		took := rapid.SampledFrom([]time.Duration{0, 0, 0, time.Millisecond, slow - 1, slow, slow + slow/8}).Draw(t, "took")
		now = w.call(t, p, o, now, max(took, 0))
	}
}

// hang begins calls that do not end, and then only calls Advance when the engine asks for it.
func (w *world) hang(t *rapid.T) {
	p := w.draw(t)
	if p == nil {
		return
	}
	for range rapid.IntRange(1, 4).Draw(t, "calls") {
		w.begin(t, p, w.now)
		w.now += Instant(rapid.Int64Range(0, int64(time.Second)).Draw(t, "pause"))
	}
	for range rapid.IntRange(1, 20).Draw(t, "advances") {
		w.advanceTo(t, w.now)
		if w.promised == never {
			return
		}
		w.now = w.promised
	}
}

// traffic goes on for several windows, with few failures.
func (w *world) traffic(t *rapid.T) {
	p := w.draw(t)
	if p == nil {
		return
	}
	outcomes := rapid.SampledFrom([]Outcome{Success, Success, Success, Success, Failure})
	pause := int64(max(p.model.spec.Config.WindowDuration, time.Second) / 4)
	for range rapid.IntRange(5, 30).Draw(t, "calls") {
		w.now += Instant(rapid.Int64Range(0, pause).Draw(t, "pause"))
		w.call(t, p, outcomes.Draw(t, "outcome"), w.now, 0)
	}
}

// call makes one call, and returns when it has ended.
func (w *world) call(t *rapid.T, p *pair, o Outcome, now Instant, took time.Duration) Instant {
	j := w.begin(t, p, now)
	if j != nil {
		now = now.Add(took)
		w.now = max(w.now, now)
		j.end(t, o, now)
	}
	if !w.unwatched {
		p.compare(t, now)
	}
	return now
}

// end ends a call in one of the possible ways.
func (j *journey) end(t *rapid.T, o Outcome, now Instant) {
	slow := j.ticket.model.spec.Config.SlowCallDurationThreshold
	if o == Success && !j.ticket.used {
		all := append(j.pair.succeeded, now)
		j.pair.succeeded = all[max(0, len(all)-40):]
	}
	switch rapid.IntRange(0, 6).Draw(t, "how") {
	case 1:
		j.permit.Answered(now)
		j.ticket.answered(now)
		fallthrough
	case 0:
		took := rapid.SampledFrom([]time.Duration{0, slow - 1, slow, time.Hour}).Draw(t, "service")
		j.permit.Settle(o, took, now)
		j.ticket.end(o, took, now)
	case 2:
		j.permit.Unsent(o, time.Millisecond, now)
		j.ticket.unsent(o, time.Millisecond, now)
	case 3:
		if got, want := j.permit.Refuse(now), j.ticket.refuse(now); got != want {
			t.Fatalf("a call that is refused: %+v, want %+v", got, want)
		}
	default:
		j.permit.Done(o, now)
		j.ticket.done(o, now)
	}
}

func (p *pair) compare(t *rapid.T, now Instant) {
	if got, want := flat(p.breaker.Status(now)), flat(p.model.status(now)); got != want {
		t.Fatalf("status\n%+v, want\n%+v", got, want)
	}
}

// resolve ends the calls that pick chooses from.
func (w *world) resolve(t *rapid.T, pick func(*ticket) bool) {
	var some []*journey
	for _, f := range w.calls {
		if pick(f.ticket) {
			some = append(some, f)
		}
	}
	if len(some) == 0 {
		return
	}
	f := rapid.SampledFrom(some).Draw(t, "call")
	o := rapid.SampledFrom([]Outcome{Success, Failure, Timeout, Ignored, Abandoned}).Draw(t, "outcome")
	now := w.step(t)
	f.end(t, o, now)
}

// release frees the slot of a probe, which may have lost it already; or a call is answered
// and goes on.
func (w *world) release(t *rapid.T) {
	if len(w.calls) == 0 {
		return
	}
	f, now := rapid.SampledFrom(w.calls).Draw(t, "call"), w.step(t)
	if rapid.Bool().Draw(t, "answered") {
		f.permit.Answered(now)
		f.ticket.answered(now)
		return
	}
	f.pair.breaker.uploading(f.permit.Probe(), now)
	f.ticket.release(now)
}

// correct makes calls that succeed at their headers, and takes some of these successes back,
// at once or some time later.
func (w *world) correct(t *rapid.T) {
	p, now := w.draw(t), w.step(t)
	if p == nil {
		return
	}
	for _, o := range rapid.SliceOfN(rapid.SampledFrom([]Outcome{Success, Success, Success, Failure, Timeout}), 1, 12).Draw(t, "story") {
		now += Instant(rapid.Int64Range(0, int64(20*time.Millisecond)).Draw(t, "pause"))
		w.now = max(w.now, now)
		if o == Success {
			now = w.call(t, p, Success, now, 0)
			continue
		}
		if len(p.succeeded) == 0 {
			continue
		}
		i := rapid.IntRange(0, len(p.succeeded)-1).Draw(t, "which")
		told := []Reported{{Outcome: o, At: now, Corrects: true, Probe: true, Settled: p.succeeded[i], Lasted: max(now.Sub(p.succeeded[i]), 0)}}
		told[0].Settled += Instant(rapid.SampledFrom([]time.Duration{0, 0, 0, time.Nanosecond, -time.Millisecond, time.Second, time.Minute}).Draw(t, "off"))
		p.succeeded = slices.Delete(p.succeeded, i, i+1)
		p.model.report(told, now)
		p.breaker.Report(told, now)
		if !w.unwatched {
			p.compare(t, now)
		}
	}
}

func (w *world) done(t *rapid.T) {
	w.resolve(t, func(k *ticket) bool { return !k.used && k.generation == k.model.generation })
}

// late ends a call of an earlier generation.
func (w *world) late(t *rapid.T) {
	w.resolve(t, func(k *ticket) bool { return !k.used && k.generation != k.model.generation })
}

// again ends a call that is over.
func (w *world) again(t *rapid.T) { w.resolve(t, func(k *ticket) bool { return k.used }) }

func (w *world) status(t *rapid.T) {
	p, now := w.draw(t), w.step(t)
	if p != nil {
		p.compare(t, now)
	}
}

func (w *world) advance(t *rapid.T) { w.advanceTo(t, w.step(t)) }

// advanceTo advances engine and models. A model is advanced when its breaker is, which is
// when the model would be due or, since a breaker rounds, a little earlier.
func (w *world) advanceTo(t *rapid.T, now Instant) {
	for _, p := range slices.Concat(w.pairs, w.gone) {
		at, due := p.model.due()
		if b := p.breaker; b.listed && !b.retired && b.due <= now {
			p.model.advance(now)
		} else if due && at <= now && !b.retired {
			t.Fatalf("%s is due at %d and its breaker at %d, listed %t", p.model.spec.Key, at, b.due, b.listed)
		}
	}
	got, ok := w.engine.Advance(now)
	w.promised, w.woken = got, false
	if !ok {
		w.promised = never
	}
	if want := w.due(); w.promised > want || ok && got <= now {
		t.Fatalf("after %d next is due at %d, %t; want %d or a little earlier", now, got, ok, want)
	}
}

// due returns when time alone changes a breaker of the engine, or never.
func (w *world) due() Instant {
	first := never
	for _, p := range w.pairs {
		if at, due := p.model.due(); due {
			first = min(first, at)
		}
	}
	return first
}

// pass lets an hour go by in which the engine is not used.
func (w *world) pass(*rapid.T) { w.now = w.now.Add(time.Hour) }

// force forces a state on a breaker, as an operator does.
func (w *world) force(t *rapid.T) {
	if len(w.pairs) == 0 {
		return
	}
	p, now := rapid.SampledFrom(w.pairs).Draw(t, "breaker"), w.step(t)
	o := Override{
		State: rapid.SampledFrom([]State{Open, Closed}).Draw(t, "state"), By: "somebody", Note: "a reason",
		Until: now.Add(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Hour}).Draw(t, "for")),
	}
	err := w.engine.Force(p.model.spec.Key, o, now)
	switch disabled := p.model.spec.Config.Mode == Disabled; {
	case disabled != errors.Is(err, ErrDisabled), !disabled && err != nil:
		t.Fatalf("forcing in mode %s: %v", p.model.spec.Config.Mode, err)
	case !disabled:
		p.model.force(o, now)
	}
}

func (w *world) reset(t *rapid.T) {
	if len(w.pairs) == 0 {
		return
	}
	p, now := rapid.SampledFrom(w.pairs).Draw(t, "breaker"), w.step(t)
	if err := w.engine.Reset(p.model.spec.Key, "somebody", "a reason", now); err != nil {
		t.Fatal(err)
	}
	p.model.reset("somebody", "a reason", now)
}

// report reports outcomes from the recent past, in any order.
func (w *world) report(t *rapid.T) {
	p, now := w.draw(t), w.step(t)
	if p == nil {
		return
	}
	outcomes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Reported {
		ago := rapid.SampledFrom([]time.Duration{-time.Millisecond, 0, 0, 1, 40 * time.Millisecond, time.Second, 4 * time.Second, time.Minute}).Draw(t, "ago")
		o := Reported{
			Outcome:  rapid.SampledFrom([]Outcome{Success, Failure, Timeout, Ignored, Abandoned}).Draw(t, "outcome"),
			At:       max(0, now.Add(-ago)),
			Duration: rapid.SampledFrom([]time.Duration{0, 5 * time.Millisecond, 2 * time.Second}).Draw(t, "duration"),
			OneIn:    rapid.SampledFrom([]uint32{0, 1, 3, 40}).Draw(t, "oneIn"),
			Probe:    rapid.Bool().Draw(t, "probe"),
			Lasted:   rapid.SampledFrom([]time.Duration{0, 0, 5 * time.Millisecond, 2 * time.Second}).Draw(t, "lasted"),
			Corrects: rapid.IntRange(0, 3).Draw(t, "corrects") == 0,
			Unsent:   rapid.IntRange(0, 3).Draw(t, "unsent") == 0,
			Running:  rapid.IntRange(0, 2).Draw(t, "running") == 0,
			Early:    rapid.IntRange(0, 2).Draw(t, "early") == 0,
		}
		if o.Corrects {
			o.Was = rapid.SampledFrom([]Outcome{Success, Success, Ignored, Abandoned, Failure}).Draw(t, "was")
			o.Settled = max(0, o.At.Add(-o.Lasted), o.At.Add(-time.Second))
		}
		if rapid.Bool().Draw(t, "known") {
			o.Generation = p.model.generation - rapid.Uint64Range(0, min(p.model.generation-1, 1)).Draw(t, "earlier")
		}
		return o
	}), 1, 12).Draw(t, "outcomes")
	p.model.report(outcomes, now)
	p.breaker.Report(outcomes, now)
}

// rejected counts calls that a proxy has rejected.
func (w *world) rejected(t *rapid.T) {
	p, now, n := w.draw(t), w.step(t), rapid.Uint64Range(0, 3).Draw(t, "n")
	if p != nil {
		p.model.rejected(n, now)
		p.breaker.Rejected(n, now)
	}
}

// restart has another engine restore what this one exports, as a new process does.
func (w *world) restart(t *rapid.T) {
	w.look(t)
	specs := make([]Spec, len(w.pairs))
	for i, p := range w.pairs {
		specs[i] = p.model.spec
	}
	export, freeze := w.engine.Export, (*model).frozen
	if rapid.Bool().Draw(t, "last") {
		export, freeze = w.engine.ExportLast, (*model).last
	}
	saved := export(w.now)
	w.forget(w.now)
	earliest := w.now.Add(rapid.SampledFrom(pauses).Draw(t, "earliest"))
	next := make([]*pair, len(w.pairs))
	var wantRestored []Key
	for i, p := range w.pairs {
		f := freeze(p.model, w.now)
		next[i] = &pair{model: newModel(p.model.spec, w.now)}
		if f != nil && next[i].model.takeUp(f, earliest, w.now) {
			wantRestored = append(wantRestored, p.model.spec.Key)
		}
	}
	w.pairs, w.gone, w.calls, w.heard = next, nil, nil, map[*model][]Transition{}
	w.engine, w.promised, w.woken = NewEngine(Options{Listen: w.listen, Wake: w.wake}), never, false
	w.engine.Apply(specs, w.now)
	if restored, lost := w.engine.Restore(saved, earliest, w.now); !slices.Equal(restored, wantRestored) || len(lost) > 0 {
		t.Fatalf("restored %v and lost %v, want %v and none", restored, lost, wantRestored)
	}
	for _, p := range w.pairs {
		p.breaker = w.engine.Breaker(p.model.spec.Key)
	}
}

// apply draws a policy: each of three breakers is absent, as it was, or different.
func (w *world) apply(t *rapid.T) {
	now := w.step(t)
	var specs []Spec
	var pairs []*pair
	var want Changes
	old := slices.Clone(w.pairs)
	for _, name := range rapid.Permutation([]string{"a", "b", "c"}).Draw(t, "names") {
		key := Key{Upstream: name}
		choice := rapid.SampledFrom([]string{"same", "same", "same", "other", "absent"}).Draw(t, "choice")
		if choice == "absent" {
			continue
		}
		s := Spec{Key: key, Lease: rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, time.Hour}).Draw(t, "lease")}
		s.ClientGone = rapid.SampledFrom([]ClientGone{GoneSlow, GoneIgnored, GoneFailure}).Draw(t, "gone")
		i := slices.IndexFunc(old, func(p *pair) bool { return p.model.spec.Key == key })
		if i >= 0 && choice == "same" {
			s.Config = old[i].model.spec.Config
		} else {
			s.Config = drawConfig(t)
		}
		specs = append(specs, s)
		if i < 0 {
			m := newModel(s, now)
			pairs = append(pairs, &pair{model: m})
			want.Added = append(want.Added, key)
			w.addedAgain(m, now, &want)
			continue
		}
		if old[i].model.configure(s, now) {
			want.Restarted = append(want.Restarted, key)
		}
		pairs = append(pairs, old[i])
		old = slices.Delete(old, i, i+1)
	}
	for _, p := range old {
		w.keep(p.model, now, &want)
		p.model.retired = true
		want.Removed = append(want.Removed, p.model.spec.Key)
	}
	w.gone = append(w.gone, old...)
	w.pairs = append(pairs, old...) // removed breakers may make transitions until Apply returns
	w.compare(t, w.engine.Apply(specs, now), want)
	w.pairs = pairs
	for _, p := range pairs {
		if b := w.engine.Breaker(p.model.spec.Key); p.breaker == nil {
			p.breaker = b
		} else if p.breaker != b {
			t.Fatalf("%s is another breaker after a reload", p.model.spec.Key)
		}
	}
}

func (w *world) compare(t *rapid.T, got, want Changes) {
	byName := func(a, b Key) int { return strings.Compare(a.Upstream, b.Upstream) }
	slices.SortFunc(got.Removed, byName)
	slices.SortFunc(want.Removed, byName)
	kept := func(all []Saved) (names []string) {
		for _, s := range all {
			names = append(names, s.Key.Upstream)
		}
		slices.Sort(names)
		return names
	}
	if !slices.Equal(kept(got.Kept), kept(want.Kept)) || !slices.Equal(got.Restored, want.Restored) || !slices.Equal(got.Forgotten, want.Forgotten) {
		t.Fatalf("changes %+v, want %+v", got, want)
	}
	if !slices.Equal(got.Added, want.Added) || !slices.Equal(got.Removed, want.Removed) || !slices.Equal(got.Restarted, want.Restarted) {
		t.Fatalf("changes %+v, want %+v", got, want)
	}
}

// check checks that the engine has said when its next change is due, and compares all
// breakers with their models; in an unwatched world only now and then.
func (w *world) check(t *rapid.T) {
	if at := w.due(); at < w.promised && !w.woken {
		t.Fatalf("a change is due at %d, Advance has said at %d, and nobody was woken", at, w.promised)
	}
	if !w.unwatched || rapid.IntRange(0, 9).Draw(t, "look") == 0 {
		w.look(t)
	}
}

// look compares every status with its model, and checks what must always be true.
func (w *world) look(t *rapid.T) {
	var got, want []Status
	got = w.engine.Snapshot(w.now)
	for _, p := range w.gone {
		got = append(got, p.breaker.Status(w.now))
	}
	unresolved := map[*model]uint64{}
	for _, f := range w.calls {
		if !f.ticket.used {
			unresolved[f.ticket.model]++
		}
	}
	for _, p := range slices.Concat(w.pairs, w.gone) {
		want = append(want, p.model.status(w.now))
		if !slices.Equal(flatten(w.heard[p.model]), flatten(p.model.heard)) {
			t.Fatalf("transitions of %s\n%+v, want\n%+v", p.model.spec.Key, w.heard[p.model], p.model.heard)
		}
	}
	for i := range got {
		if got, want := flat(got[i]), flat(want[i]); got != want {
			t.Fatalf("status\n%+v, want\n%+v", got, want)
		}
	}
	for i, p := range slices.Concat(w.pairs, w.gone) {
		s := got[i]
		if s.ProbesInFlight > s.Config.PermittedNumberOfCallsInHalfOpenState {
			t.Fatalf("%d probes in flight, at most %d are permitted", s.ProbesInFlight, s.Config.PermittedNumberOfCallsInHalfOpenState)
		}
		c := s.Counts
		if c.Requests != c.Rejected+c.Successes+c.Failures+c.Ignored+unresolved[p.model] {
			t.Fatalf("counts %+v with %d in flight do not add up", c, unresolved[p.model])
		}
	}
}
