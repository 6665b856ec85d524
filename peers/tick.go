package peers

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/peerspb"
)

// tickPeriod is how often [Router.Tick] is to be called when there is nothing else to do.
const tickPeriod = 50 * time.Millisecond

// Tick does what time brings. It returns when it is to be called again.
func (r *Router) Tick(now breaker.Instant) (next breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.awake(now)
	r.roster.Look(now)
	r.resume(now)
	if r.roster.Silent(now) {
		r.replace(now)
	}
	r.overdue(now)
	if r.roster.BeatsDue(now) {
		r.beats(now)
	}
	r.retarget(now)
	r.remind(now)
	if now.Sub(r.figures) >= figuresPeriod {
		r.sendFigures(now)
	}
	next = now.Add(tickPeriod)
	for _, p := range r.others() {
		r.flush(p, now)
		if at, ok := p.out.Due(); ok {
			next = min(next, at)
		}
	}
	return max(next, now.Add(time.Millisecond))
}

// Receive takes a message of another replica. The caller has authenticated it.
func (r *Router) Receive(from membership.Member, m *peerspb.Message, now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	if from.ID == r.o.Self.ID {
		return
	}
	r.awake(now)
	p := r.meet(from)
	switch k := m.GetKind().(type) {
	case *peerspb.Message_Beat:
		r.tookBeat(p, k.Beat, now)
	case *peerspb.Message_Report:
		r.tookReport(p, k.Report, now)
	case *peerspb.Message_Ask:
		r.tookAsk(p, k.Ask, now)
	case *peerspb.Message_Answer:
		r.tookAnswer(k.Answer, now)
	case *peerspb.Message_States:
		r.tookStates(p, k.States, now)
	case *peerspb.Message_Sync:
		r.tookSync(p, k.Sync, now)
	case *peerspb.Message_Change:
		r.tookChange(p, k.Change, now)
	case *peerspb.Message_Changed:
		r.tookChanged(p, k.Changed, now)
	case *peerspb.Message_Handover:
		r.tookHandover(p, k.Handover, now)
	case *peerspb.Message_Suspect:
		if key := convert.KeyOf(k.Suspect.GetKey()); r.specs[key] != nil {
			r.later(func() { r.o.Suspect(key) })
		}
	case *peerspb.Message_Taken:
		delete(r.giving, k.Taken.GetId())
		r.confirmed(k.Taken.GetId(), now)
	}
	r.resume(now)
}
