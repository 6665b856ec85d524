package membership

import (
	"cmp"
	"slices"
	"time"

	"breakwater.dev/instant"
)

// The times of an agent.
const (
	// Lease is how long a replica stays alive, in the registry and by its own judgement, without another beat.
	Lease = 2 * time.Second
	// Period is the time between two beats.
	Period = 400 * time.Millisecond
	// missing is how long a member may be missing in the registry. A registry that has lost everything has all replicas
	// again after one period.
	missing = 350 * time.Millisecond
	// stable is how long a replica has to be alive before it becomes a member, so that one that dies again and again
	// moves no breakers.
	stable = 1500 * time.Millisecond
)

// Agent decides what one replica says to the registry, and what follows from the answers. It is for one goroutine at a time.
type Agent struct {
	self    Member
	nonce   func() string
	view    View                       // the highest that is known
	first   map[string]instant.Instant // when each replica that is alive was first read, without a gap
	absent  map[string]instant.Instant // when each member was first read as missing, without a gap
	steady  instant.Instant            // since when all beats have had an answer
	last    instant.Instant            // when the last beat was sent that had an answer
	failing bool
}

// NewAgent returns the agent of a replica. nonce returns a random text for each call.
func NewAgent(self Member, nonce func() string) *Agent {
	return &Agent{self: self, nonce: nonce, first: map[string]instant.Instant{}, absent: map[string]instant.Instant{}, failing: true}
}

// Result is what follows from the answer to a beat.
type Result struct {
	// View is the view in force.
	View View
	// Lease is until when this replica is surely a member of it; 0: that is not known.
	Lease instant.Instant
	// Replace has the view that the registry should have in the place of Old; nil: none.
	Old, Replace *View
}

// Failed says that a beat had no answer. What was known stays in force.
func (a *Agent) Failed() {
	a.failing = true
	clear(a.absent)
}

// View returns the highest view that is known.
func (a *Agent) View() View { return a.view }

// Learn takes a view that another replica has told.
func (a *Agent) Learn(v View) {
	if v.Epoch > a.view.Epoch {
		a.view = v
	}
}

// Answered takes the answer to a beat that was sent at an instant.
func (a *Agent) Answered(r *Reading, sent, now instant.Instant) Result {
	if a.failing || sent.Sub(a.last) >= Lease {
		a.failing, a.steady = false, now
		clear(a.absent)
		clear(a.first) // those that are alive may have been dead meanwhile, and this replica may have been, for the others
	}
	a.last = sent
	a.note(r, now)
	forgotten := r.View.Epoch < a.view.Epoch
	if !forgotten {
		a.view = r.View
	}
	result := Result{View: a.view}
	next := a.members(r, now)
	if forgotten || !slices.Equal(next, a.view.Members) {
		result.Old = &r.View
		result.Replace = &View{Epoch: max(a.view.Epoch, r.View.Epoch) + 1, Nonce: a.nonce(), Follows: a.view.Nonce, Members: next}
		if len(next) == 0 {
			result.Old, result.Replace = nil, nil
		}
	}
	if !forgotten && a.view.Has(a.self.ID) && now.Sub(a.steady) >= Lease {
		result.Lease = sent.Add(Lease)
	}
	return result
}

// note remembers which replicas are alive, and which are missing.
func (a *Agent) note(r *Reading, now instant.Instant) {
	alive := map[string]bool{}
	for _, m := range r.Live {
		alive[m.ID] = true
		if _, known := a.first[m.ID]; !known {
			a.first[m.ID] = now
		}
		delete(a.absent, m.ID)
	}
	for id := range a.first {
		if !alive[id] {
			delete(a.first, id)
		}
	}
	for _, v := range []*View{&r.View, &a.view} {
		for _, m := range v.Members {
			if _, known := a.absent[m.ID]; !alive[m.ID] && !known {
				a.absent[m.ID] = now
			}
		}
	}
}

// members returns who should be members.
func (a *Agent) members(r *Reading, now instant.Instant) (next []Member) {
	living := false // some member is alive
	for _, m := range a.view.Members {
		since, missed := a.absent[m.ID]
		if missed && now.Sub(since) >= a.patience(now) {
			continue
		}
		living = living || !missed
		next = append(next, m)
	}
	for _, m := range r.Live {
		has := slices.ContainsFunc(next, func(o Member) bool { return o.ID == m.ID })
		if !has && (now.Sub(a.first[m.ID]) >= stable || !living && len(next) == 0) {
			next = append(next, m)
		}
	}
	slices.SortFunc(next, func(x, y Member) int { return cmp.Compare(x.ID, y.ID) })
	return next
}

// patience is how long a member may be missing. When the registry was away, all replicas may be missing at first.
func (a *Agent) patience(now instant.Instant) time.Duration {
	if now.Sub(a.steady) < Lease {
		return Lease
	}
	return missing
}

// Without returns the view that follows when this replica leaves; nil: it is no member.
func (a *Agent) Without() (old, next *View) {
	if !a.view.Has(a.self.ID) {
		return nil, nil
	}
	v := a.view
	rest := slices.DeleteFunc(slices.Clone(v.Members), func(m Member) bool { return m.ID == a.self.ID })
	return &v, &View{Epoch: v.Epoch + 1, Nonce: a.nonce(), Follows: v.Nonce, Members: rest}
}
