package convert

import (
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/outbox"
	"breakwater.dev/peers/internal/peerspb"
)

// receiver is the time of a replica that gets hostile messages.
const receiver = breaker.Instant(time.Hour)

// seeds adds messages, which the fuzzer begins with.
func seeds(f *testing.F, ms ...proto.Message) {
	f.Helper()
	for _, m := range ms {
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
}

// isSound fails when an instant is out of reach, or after now though it is past.
func isSound(t *testing.T, v any) {
	t.Helper()
	walk(reflect.ValueOf(v), func(at reflect.Value, name string) {
		i := breaker.Instant(at.Int())
		if i < receiver.Add(-time.Duration(century)) || i > receiver.Add(time.Duration(century)) || i > receiver && !future[name] {
			t.Fatalf("%s is %d, and now is %d", name, i, receiver)
		}
	}, "")
	bounds(t, reflect.ValueOf(v))
}

// bounds fails when a value is none that its type can have.
func bounds(t *testing.T, v reflect.Value) {
	t.Helper()
	fine := true
	switch x := v.Interface().(type) {
	case time.Duration:
		fine = x >= 0 && x <= time.Duration(century)
	case breaker.State:
		fine = x <= breaker.Open
	case breaker.Outcome:
		fine = x <= breaker.Abandoned
	case breaker.Mode:
		fine = x <= breaker.Disabled
	case breaker.Reason:
		fine = x <= breaker.Restored
	case breaker.Ratio:
		fine = x <= breaker.Whole
	}
	if !fine {
		t.Fatalf("a %s is %d", v.Type(), v.Interface())
	}
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		bounds(t, v.Elem())
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			bounds(t, v.Index(i))
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			bounds(t, v.Field(i))
		}
	}
}

// engines returns engines that have the breaker of a key, with windows by time and by calls.
func engines(key breaker.Key) (all []*breaker.Engine) {
	for _, size := range []uint32{0, 20} {
		c := breaker.DefaultConfig()
		if c.RampDuration = time.Second; size > 0 {
			c.WindowSize, c.WindowDuration = size, 0
		}
		e := breaker.NewEngine(breaker.Options{})
		e.Apply([]breaker.Spec{{Key: breaker.Key{Upstream: key.Upstream, Route: key.Route}, Config: c, Lease: time.Second, PerNode: key.Node != ""}}, receiver)
		all = append(all, e)
	}
	return all
}

// use has an engine go on for a while, and fails where its breaker is in no state.
func use(t *testing.T, e *breaker.Engine, key breaker.Key) {
	t.Helper()
	for i, now := range []breaker.Instant{receiver, receiver + 1, receiver.Add(time.Minute), receiver.Add(time.Hour)} {
		probe, generation, d := e.AcquireProbe(key, now)
		e.SettleProbe(key, breaker.Settlement{Probe: probe, Outcome: breaker.Success}, now)
		e.Report(key, []breaker.Reported{{Outcome: breaker.Failure, At: now, Generation: generation}}, now)
		e.Advance(now)
		if s, known := e.Status(key, now); known && (s.State > breaker.Open || d.RetryAfter < 0 || s.RetryAfter < 0) {
			t.Fatalf("after step %d the breaker is %+v, and the decision was %+v", i, s, d)
		}
	}
	if h, had := e.HandOver(key, receiver.Add(time.Hour)); had {
		MemoryOut(&h, receiver.Add(time.Hour))
	}
}

// FuzzHandovers shows that a handover whose bytes are anything is refused, or gives values that an engine can take.
func FuzzHandovers(f *testing.F) {
	key := Key(breaker.Key{Upstream: "payments", Node: "proxy-1"})
	window := &peerspb.Window{Calls: 1<<64 - 1, Failures: 1 << 63, Slow: 7, Run: 1<<32 - 1}
	probes := []*peerspb.Probe{{Id: 1, Left: -1 << 63}, {Id: 1, Left: 1<<63 - 1}, {}}
	tally := &peerspb.Tally{Age: -1 << 63, Timed: true, Calls: 1<<32 - 1, Failures: 1<<32 - 1, Slow: 1<<32 - 1, Early: 1<<32 - 1, Void: 1<<32 - 1}
	seeds(f,
		&peerspb.Handover{State: &peerspb.State{Key: key, State: int32(breaker.Open), Ends: true, Left: int64(time.Second)}},
		&peerspb.Handover{
			State:  &peerspb.State{Key: key, State: int32(breaker.HalfOpen), SinceAge: -1 << 63, Ends: true, Left: -1 << 63, Openings: 1<<32 - 1, Lease: -1},
			Memory: &peerspb.Memory{Probes: probes, LastProbe: 1<<32 - 1, Probed: window, ProbeSuccesses: 1<<64 - 1, ProbesLost: 1, ResumeLeft: 1<<63 - 1},
		},
		&peerspb.Handover{
			State: &peerspb.State{Key: key, LastFailureAge: 1<<63 - 1, Sequence: 1<<64 - 1, Rank: &peerspb.Rank{Generation: 1<<64 - 1}, Window: window},
			Memory: &peerspb.Memory{
				Window: []*peerspb.Tally{tally, {}, tally, {Void: 1<<32 - 1}, {Calls: 1<<32 - 1}}, Ramping: true, RampLeft: -1 << 63, RampCredit: 1<<32 - 1,
				Run: &peerspb.Run{Failures: 1<<32 - 1, OneIn: 1<<32 - 1, Exact: 1<<32 - 1, Age: -1 << 63, Known: true, Reported: true}, Succeeded: true, LastSuccessAge: 1<<63 - 1,
				Recent: &peerspb.Recent{CorrectedAge: -1 << 63, FromAge: 1<<63 - 1, Successes: []*peerspb.RecentSuccess{{Age: -1 << 63, Before: &peerspb.Run{Failures: 1<<32 - 1, Exact: 7, Reported: true}}, {Grown: true}}},
			},
		})
	f.Fuzz(func(t *testing.T, data []byte) {
		var m peerspb.Handover
		if proto.Unmarshal(data, &m) != nil {
			return
		}
		s, ok := StateIn(m.GetState(), receiver)
		if !ok {
			return
		}
		isSound(t, s)
		h := MemoryIn(m.GetMemory(), receiver)
		isSound(t, h)
		h.Saved, h.LastFailure = s.Saved, s.LastFailure
		for _, e := range engines(s.Saved.Key) {
			took := h
			if own, had := e.Holding(s.Saved.Key, receiver); had {
				took.Config = own.Config
			}
			e.TakeOver(&took, 0, receiver)
			use(t, e, s.Saved.Key)
		}
		if again, ok := StateIn(StateOut(s, receiver), receiver); !ok || again.Rank != s.Rank || again.Saved.State != s.Saved.State {
			t.Fatalf("%+v is not read as it was written: %+v", s, again)
		}
	})
}

// FuzzReports shows the same of reports.
func FuzzReports(f *testing.F) {
	key := Key(breaker.Key{Upstream: "payments"})
	seeds(f,
		&peerspb.Item{Key: key, Owner: "shop", Outcomes: []*peerspb.Outcome{{Outcome: int32(breaker.Failure), Age: 5}}, Settled: []*peerspb.Settled{{Probe: 1}}},
		&peerspb.Item{
			Key: key, Rejected: 1<<64 - 1, Hops: 1<<32 - 1, OneIn: 1<<32 - 1, Settled: []*peerspb.Settled{{Probe: 1<<32 - 1, Took: -1 << 63, Unsent: true}},
			Outcomes: []*peerspb.Outcome{
				{Age: -1 << 63, Lasted: -1 << 63, Duration: 1<<63 - 1, OneIn: 1<<32 - 1, Generation: 1<<64 - 1},
				{Age: 1<<63 - 1, Lasted: 1<<63 - 1, Early: true}, {Running: true, Lasted: 1<<63 - 1, Duration: 1<<63 - 1},
				{Corrects: true, SettledAge: -1 << 63}, {Uploading: 1<<32 - 1}, {Probe: true, Unsent: true, OneIn: 1<<32 - 1},
			},
		})
	f.Fuzz(func(t *testing.T, data []byte) {
		var m peerspb.Item
		if proto.Unmarshal(data, &m) != nil {
			return
		}
		i, ok := ItemOf(&m, receiver)
		if !ok {
			return
		}
		isSound(t, i)
		for _, e := range engines(i.Subject.Key) {
			local := e.Decider()
			local.Rejected(i.Subject, i.Rejected, receiver)
			local.Report(i.Subject, i.Outcomes, receiver)
			for _, s := range i.Settled {
				e.SettleProbe(i.Subject.Key, breaker.Settlement{Probe: s.Probe, Outcome: s.Outcome, Took: s.Took, Unsent: s.Unsent}, receiver)
			}
			use(t, e, i.Subject.Key)
		}
		Report(&outbox.Report{Items: []*outbox.Item{i}}, 1, receiver)
	})
}
