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

// frozen is how long there may be no tick. After a longer time the process has stood still, and other replicas may have taken
// its breakers.
const frozen = time.Second

// Tick does what time brings. It returns when it is to be called again.
func (r *Router) Tick(now breaker.Instant) (next breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.awake(now)
	r.ticked = now
	if r.thawed != 0 && now.Sub(r.thawed) >= patience {
		r.confirm(now) // nobody says otherwise
	}
	r.missing(now)
	r.overdue(now)
	if now.Sub(r.beatAt) >= beatPeriod || r.beatAt == 0 {
		r.beats(now)
	}
	r.retarget(now)
	r.remind(now)
	if now.Sub(r.figures) >= figuresPeriod {
		r.sendFigures(now)
	}
	next = now.Add(tickPeriod)
	for _, p := range r.sorted() {
		r.flush(p, now)
		if at, ok := p.out.Due(); ok {
			next = min(next, at)
		}
	}
	return max(next, now.Add(time.Millisecond))
}

// awake notices that the process has stood still.
func (r *Router) awake(now breaker.Instant) {
	if r.ticked == 0 || now.Sub(r.ticked) < frozen || r.thawed != 0 {
		return
	}
	r.thawed = now
	r.lease = 0
	for _, p := range r.peers {
		p.agreed = 0
		p.heard = max(p.heard, now.Add(-silence/2)) // their beats may wait to be read
	}
	r.o.Log.Warn("the process has stood still; it gives no permits until other replicas confirm that it is still a member", "for", now.Sub(r.ticked).String())
	r.beats(now)
}

// confirm ends the doubt of a process that has stood still.
func (r *Router) confirm(now breaker.Instant) {
	r.thawed = 0
	held := r.held
	r.held = nil
	for _, t := range held {
		r.deliver(t, now)
	}
}

// Receive takes a message of another replica. The caller has authenticated it.
func (r *Router) Receive(from membership.Member, m *peerspb.Message, now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	if from.ID == r.o.Self.ID {
		return
	}
	r.awake(now)
	p := r.peer(from)
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
	if r.thawed != 0 && r.confirmedSince(r.thawed) {
		r.confirm(now)
	}
}

// confirmedSince reports whether all other members have confirmed the view since an instant.
func (r *Router) confirmedSince(since breaker.Instant) bool {
	if !r.view.Has(r.o.Self.ID) {
		return true // it owns nothing
	}
	for _, m := range r.view.Members {
		if p := r.peers[m.ID]; m.ID != r.o.Self.ID && (p == nil || p.agreed < since) {
			return false
		}
	}
	return true
}
