package peers

import (
	"log/slog"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/lockorder"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/calls"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/core"
	"breakwater.dev/peers/internal/outbox"
	"breakwater.dev/peers/internal/peerspb"
	"breakwater.dev/peers/internal/sampling"
)

// Options connect a router with the rest of the process.
type Options struct {
	Self   membership.Member
	Engine *breaker.Engine
	// Send sends a message to another replica, or drops it. A process that has the address of that replica now must not get it.
	// It must not block, and must not call the router.
	Send func(to membership.Member, m *peerspb.Message)
	// Deliver gets each transition of every breaker once. mirrored means that another replica has made it. It is called without a
	// lock, on the goroutine that brought the transition.
	Deliver func(t breaker.Transition, mirrored bool)
	// Changed is called when the status of a breaker may have changed without a transition, such as when its owner has
	// changed.
	Changed func(breaker.Key)
	// Suspect is called when another replica wants all calls of a breaker to be logged. The key has no node.
	Suspect func(breaker.Key)
	// Sampled is called when [Router.SampledElsewhere] has more to say.
	Sampled func()
	// Flush returns when all transitions so far were given to [Router.Observe]. It is called without a lock.
	Flush func()
	// Wake is called when [Router.Flush] has to be called sooner than Tick said.
	Wake func()
	Log  *slog.Logger
	// LeasesOnly means that this replica is an owner by its lease only. Else it also is one while all other members agree with it:
	// a store of members can fail, and takes no side in a partition then.
	LeasesOnly bool
}

// Router has the breakers of all replicas. Make one with [New].
type Router struct {
	o       Options
	local   breaker.Decider // this replica's engine
	running calls.Running   // calls of breakers elsewhere

	mu      lockorder.Mutex[lockorder.Peers] // guards the fields below; core says what is safe without it
	core    *core.Core
	asks    calls.Asks
	changes map[uint64]*change
	made    []madeChange // changes by hand that were made here, so that none is made twice
	sampled sampling.Told

	asked, unanswered, withheld uint64 // permits
}

// New returns a router without breakers. ids of messages begin after first, which should be random.
func New(o Options, first uint64) *Router {
	return &Router{
		o: o, local: o.Engine.Decider(), changes: map[uint64]*change{},
		core: core.New(core.Options{
			Self: o.Self, LeasesOnly: o.LeasesOnly, Engine: o.Engine, Send: o.Send, Deliver: o.Deliver, Changed: o.Changed, Wake: o.Wake, Log: o.Log,
		}, first),
	}
}

// unlock releases the lock, and makes the calls to others that were put off until then.
func (r *Router) unlock() {
	effects := r.core.Effects()
	r.mu.Unlock()
	for _, f := range effects {
		f()
	}
}

// Apply replaces the breakers of the policy, which the engine has already. connections reports whether the calls of a breaker
// are connections, so that no caller asks for permits; nil: no breaker's are.
func (r *Router) Apply(specs []breaker.Spec, connections func(breaker.Key) bool, now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.core.Apply(specs, connections, now)
}

// View says who the members are. A view that is older than the one in force is ignored.
func (r *Router) View(v membership.View, now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.core.TakeView(v, now)
}

// Lease says that this replica is surely a member, by the epoch of its view, until an instant. The caller has found that out
// by a question that it asked at another instant.
func (r *Router) Lease(epoch uint64, asked, until, now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.core.Renew(epoch, asked, until, now)
}

// Leave has other replicas take all breakers. The view without this replica may come before or after it.
func (r *Router) Leave(now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.core.Leave(now)
}

// Left reports whether all breakers have been taken by other replicas, or there is no other replica.
func (r *Router) Left() bool {
	r.mu.Lock()
	defer r.unlock()
	return r.core.Left()
}

// Known returns the view by which this replica acts.
func (r *Router) Known() membership.View {
	r.mu.Lock()
	defer r.unlock()
	return *r.core.CurrentView()
}

// Observe takes a transition of this replica's engine, and tells the other replicas. A transition of a breaker that is
// elsewhere does not count.
func (r *Router) Observe(t breaker.Transition, now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.core.Observe(t, now)
}

// Tick does what time brings. It returns when it is to be called again.
func (r *Router) Tick(now breaker.Instant) (next breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.core.Tick(now)
	for _, id := range core.SortedIDs(r.changes) {
		r.hurry(r.changes[id], now)
	}
	for _, i := range r.running.Slow(now) {
		r.core.Pass(i, now)
	}
	r.asks.Forget(now)
	return r.core.Flush(now)
}

// Flush sends the reports that are due, which is a part of what Tick does. It returns when it or Tick is to be called again.
func (r *Router) Flush(now breaker.Instant) (next breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	return r.core.Flush(now)
}

// Receive takes a message of another replica. The caller has authenticated it.
func (r *Router) Receive(from membership.Member, m *peerspb.Message, now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	if from.ID == r.o.Self.ID {
		return
	}
	r.core.Awake(now)
	p := r.core.Meet(from)
	switch k := m.GetKind().(type) {
	case *peerspb.Message_Ask:
		r.tookAsk(p, k.Ask, now)
	case *peerspb.Message_Answer:
		r.tookAnswer(k.Answer, now)
	case *peerspb.Message_Change:
		r.tookChange(p, k.Change, now)
	case *peerspb.Message_Changed:
		r.tookChanged(p, k.Changed, now)
	case *peerspb.Message_Suspect:
		if key := convert.KeyOf(k.Suspect.GetKey()); r.core.Specs()[key] != nil {
			r.core.Later(func() { r.o.Suspect(key) })
		}
	case *peerspb.Message_Sampled:
		keys := make([]breaker.Key, len(k.Sampled.GetKeys()))
		for i, key := range k.Sampled.GetKeys() {
			keys[i] = convert.KeyOf(key)
		}
		if r.sampled.Took(from.ID, keys, now) {
			r.core.Later(r.o.Sampled)
		}
	case *peerspb.Message_Taken:
		r.core.Taken(k.Taken.GetId())
		r.confirmed(k.Taken.GetId(), now)
	default:
		r.core.Receive(p, m, now)
	}
	r.core.Resume(now)
}

// Report implements [breaker.Decider].
func (r *Router) Report(s breaker.Subject, outcomes []breaker.Reported, now breaker.Instant) {
	switch at := r.core.Find(s.Key); {
	case at == nil:
		r.local.Report(s, outcomes, now)
	case at.Here():
		r.core.ReportHere(at, s, outcomes, now)
	default:
		r.add(&outbox.Item{Subject: s, Outcomes: outcomes}, now)
	}
}

// Rejected implements [breaker.Decider].
func (r *Router) Rejected(s breaker.Subject, n uint64, now breaker.Instant) {
	switch at := r.core.Find(s.Key); {
	case at == nil:
		r.local.Rejected(s, n, now)
	case at.Here():
		r.core.RejectedHere(at, s, n, now)
	default:
		r.add(&outbox.Item{Subject: s, Rejected: n}, now)
	}
}

// add reports something of a breaker that is elsewhere, or comes soon.
func (r *Router) add(i *outbox.Item, now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.core.Pass(i, now)
}

// host finds breakers for calls.
type host struct{ *Router }

// Report implements [calls.Host].
func (h host) Report(i *outbox.Item, now breaker.Instant) { h.add(i, now) }
