package convert

import (
	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/outbox"
	"breakwater.dev/peers/internal/peerspb"
)

// Key writes the key of a breaker.
func Key(k breaker.Key) *peerspb.Key {
	return &peerspb.Key{Upstream: k.Upstream, Route: k.Route, Node: k.Node}
}

// KeyOf reads the key of a breaker.
func KeyOf(k *peerspb.Key) breaker.Key {
	return breaker.Key{Upstream: k.GetUpstream(), Route: k.GetRoute(), Node: k.GetNode()}
}

// Report writes a report that is sent at an instant.
func Report(r *outbox.Report, session uint64, now breaker.Instant) *peerspb.Report {
	m := &peerspb.Report{Number: r.Number, Session: session, Items: make([]*peerspb.Item, len(r.Items))}
	for n, i := range r.Items {
		m.Items[n] = item(i, at(now))
	}
	return m
}

func item(i *outbox.Item, now at) *peerspb.Item {
	m := &peerspb.Item{
		Key: Key(i.Subject.Key), Owner: i.Subject.Owner, Rejected: i.Rejected, Hops: i.Hops, OneIn: i.OneIn,
		Outcomes: make([]*peerspb.Outcome, len(i.Outcomes)),
	}
	outcomes := make([]peerspb.Outcome, len(i.Outcomes)) // one allocation for all
	for n := range i.Outcomes {
		o, to := &i.Outcomes[n], &outcomes[n]
		to.Outcome, to.Age, to.Lasted, to.Duration = int32(o.Outcome), now.age(o.At), int64(o.Lasted), int64(o.Duration)
		to.OneIn, to.Generation, to.Probe, to.Unsent = o.OneIn, o.Generation, o.Probe, o.Unsent
		to.Running, to.Early, to.Uploading = o.Running, o.Early, o.Uploading
		if o.Corrects {
			to.Corrects, to.Was, to.SettledAge = true, int32(o.Was), now.age(o.Settled)
		}
		m.Outcomes[n] = to
	}
	for _, s := range i.Settled {
		m.Settled = append(m.Settled, &peerspb.Settled{Probe: s.Probe, Outcome: int32(s.Outcome), Took: int64(s.Took), Unsent: s.Unsent})
	}
	return m
}

// ItemOf reads what a report that arrived at an instant says of one breaker. ok is false where it makes no sense.
func ItemOf(m *peerspb.Item, now breaker.Instant) (i *outbox.Item, ok bool) {
	i = &outbox.Item{
		Subject: breaker.Subject{Key: KeyOf(m.GetKey()), Owner: m.GetOwner()}, Rejected: m.GetRejected(), Hops: m.GetHops(), OneIn: m.GetOneIn(),
		Outcomes: make([]breaker.Reported, len(m.GetOutcomes())),
	}
	for n, o := range m.GetOutcomes() {
		if !isOutcome(o.GetOutcome()) || !isOutcome(o.GetWas()) {
			return nil, false
		}
		i.Outcomes[n] = breaker.Reported{
			Outcome: breaker.Outcome(o.GetOutcome()), At: at(now).past(o.GetAge()),
			Lasted: duration(o.GetLasted()), Duration: duration(o.GetDuration()),
			OneIn: o.GetOneIn(), Generation: o.GetGeneration(), Probe: o.GetProbe(), Unsent: o.GetUnsent(),
			Running: o.GetRunning(), Early: o.GetEarly(), Uploading: o.GetUploading(),
		}
		if o.GetCorrects() {
			of := &i.Outcomes[n]
			of.Corrects, of.Was, of.Settled = true, breaker.Outcome(o.GetWas()), at(now).past(o.GetSettledAge())
		}
	}
	for _, s := range m.GetSettled() {
		if !isOutcome(s.GetOutcome()) {
			return nil, false
		}
		i.Settled = append(i.Settled, outbox.Settled{
			Probe: s.GetProbe(), Outcome: breaker.Outcome(s.GetOutcome()), Took: duration(s.GetTook()), Unsent: s.GetUnsent(),
		})
	}
	return i, true
}

func isOutcome(o int32) bool { return o >= int32(breaker.Success) && o <= int32(breaker.Abandoned) }

// IsState reports whether a number in a message is a state.
func IsState(s int32) bool { return s >= int32(breaker.Closed) && s <= int32(breaker.Open) }
