package breaker

import (
	"errors"
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
)

// Engine holds all breakers of a process.
//
// Reading the table of breakers takes no lock; each breaker has its own. Changes
// of the table are serialised and become visible all at once.
type Engine struct {
	apply  sync.Mutex // serialises Apply
	table  atomic.Pointer[table]
	kept   kept
	shared shared
}

// table finds breakers by name; it is never changed. It is a hash table with open
// addressing, at most half full: a map would hold every name a second time.
type table struct {
	list  []*group // in the order of the specs
	slots []*group // a power of two of them
	seed  maphash.Seed
}

func newTable(list []*group) *table {
	t := &table{list: list, slots: make([]*group, 1<<bits.Len(uint(2*len(list)))), seed: maphash.MakeSeed()}
	for _, g := range list {
		key := g.key()
		i := t.hash(key.Upstream, key.Route)
		for t.slots[i&uint64(len(t.slots)-1)] != nil {
			i++
		}
		t.slots[i&uint64(len(t.slots)-1)] = g
	}
	return t
}

func (t *table) hash(upstream, route string) uint64 {
	h := maphash.String(t.seed, upstream)
	if route != "" {
		h = h*31 + maphash.String(t.seed, route)
	}
	return h
}

// find returns nil where there is no such breaker.
func (t *table) find(upstream, route string) *group {
	slots := t.slots
	for i := t.hash(upstream, route); ; i++ {
		g := slots[i&uint64(len(slots)-1)]
		if g == nil || g.named(upstream, route) {
			return g
		}
	}
}

// Options are what an [Engine] needs of its surroundings. The zero value is an
// engine that nobody listens to.
type Options struct {
	// Listen is called for every transition, one at a time, for each breaker in
	// order of [Transition.Sequence], with no lock held: it may call the engine. It
	// runs on the goroutine of whichever call caused the transition, so it should
	// hand slow work on, and it must not panic.
	Listen func(Transition)
	// Wake is called when [Engine.Advance] is to be called, and not only when it has
	// said: time alone will change a breaker earlier, or there are more transitions to
	// deliver than one call should have to. The rules of Listen hold.
	Wake func()
	// Now reads the clock of all instants. Only [Do] needs it.
	Now func() Instant
}

// ErrUnknown is the error of a change by hand to a breaker that does not exist.
var ErrUnknown = errors.New("there is no such breaker")

// ErrDisabled is the error of forcing a breaker whose policy has the mode Disabled: no
// call asks it, so it could not reject any.
var ErrDisabled = errors.New("the policy's mode is Disabled, so no call asks this breaker; change the policy")

// NewEngine returns an engine without breakers.
func NewEngine(o Options) *Engine {
	e := &Engine{}
	e.shared.listen, e.shared.wake, e.shared.now = o.Listen, o.Wake, o.Now
	e.shared.next.Store(int64(never))
	e.table.Store(newTable(nil))
	return e
}

// Changes says what [Engine.Apply] did, by key, in the order of the specs; the
// breakers that it kept as they were are not mentioned.
type Changes struct {
	Added     []Key
	Removed   []Key // in the order of the specs that had them
	Restarted []Key // new semantics: closed, in a new generation
	// Kept is what is remembered of those among Removed that were open, half-open or in the hands of a person.
	Kept []Saved
	// Forgotten are breakers that were in such a state, which is lost: there is too much to remember, or they
	// were of a proxy, and all proxies share one now, or, among those that are added again, they do not go on with what was
	// remembered, since their semantics or their scope are other ones.
	Forgotten []Key
	// Restored are those among Added that go on with what was remembered.
	Restored []Key
}

// Apply makes specs the engine's breakers. A breaker whose Config is the same
// keeps its state; one whose Config differs starts closed, in a new generation,
// and keeps its counts and what a person did to it. One that is removed while it is open,
// half-open or held by a person is remembered until that would have ended: if it is added again before, it goes on
// there, by the rules of [Engine.Restore]. At most 1,000 are remembered. The keys of specs must differ
// from each other, their configs be valid ([Config.Validate]) and their leases be
// above 0.
func (e *Engine) Apply(specs []Spec, now Instant) Changes {
	defer e.shared.deliver() // when the lock is released: a listener may apply, too
	e.apply.Lock()
	defer e.apply.Unlock()
	old := e.table.Load()
	list := make([]*group, 0, len(specs))
	interned := map[terms]*terms{}
	var ch Changes
	for i := range specs {
		s := &specs[i]
		t := intern(interned, s)
		g := old.find(s.Key.Upstream, s.Key.Route)
		switch {
		case g == nil:
			g = newGroup(s, t, &e.shared, now)
			ch.Added = append(ch.Added, s.Key)
		case (g.nodes != nil) != s.PerNode:
			ch.Forgotten = g.appendForced(ch.Forgotten)
			g = g.replaced(newGroup(s, t, &e.shared, now), now)
			ch.Restarted = append(ch.Restarted, s.Key)
		case g.configure(t, now):
			ch.Restarted = append(ch.Restarted, s.Key)
		}
		list = append(list, g)
	}
	next := newTable(list)
	e.table.Store(next)
	for _, key := range ch.Added {
		restored, lost := e.takeUp(e.kept.take(key.Upstream, key.Route, now), now, now)
		ch.Restored, ch.Forgotten = append(ch.Restored, restored...), append(ch.Forgotten, lost...)
	}
	for _, g := range old.list {
		if key := g.key(); next.find(key.Upstream, key.Route) == nil {
			e.keep(g, &ch, now)
			g.retire()
			ch.Removed = append(ch.Removed, key)
		}
	}
	return ch
}

// intern returns the one copy of the terms of s.
func intern(all map[terms]*terms, s *Spec) *terms {
	t := terms{Config: s.Config, lease: s.Lease, timeout: s.Timeout, gone: s.ClientGone}
	if all[t] == nil {
		all[t] = &t
	}
	return all[t]
}

// Breaker returns the breaker of key, or nil. A key with a node is that of a breaker
// that [Engine.Node] has made. The handle stays valid: of a breaker that was
// removed since, it still admits and resolves calls, but nobody hears of its transitions.
func (e *Engine) Breaker(key Key) *Breaker {
	g := e.group(key)
	switch {
	case g == nil:
		return nil
	case key.Node == "":
		return &g.Breaker
	default:
		return g.known(key.Node)
	}
}

func (e *Engine) group(key Key) *group { return e.table.Load().find(key.Upstream, key.Route) }

// Acquire asks the breaker of key for a permit. Where there is no such breaker,
// the call is admitted and its permit does nothing.
func (e *Engine) Acquire(key Key, now Instant) (Permit, Decision) {
	b := e.Breaker(key)
	if b == nil {
		return Permit{}, Decision{Admitted: true, State: Closed}
	}
	return b.Acquire(now)
}

// Snapshot returns the status of every breaker at now; see [Engine.AppendSnapshot].
func (e *Engine) Snapshot(now Instant) []Status {
	return e.AppendSnapshot(make([]Status, 0, len(e.table.Load().list)), now)
}

// AppendSnapshot appends the status of every breaker at now, in the order of the
// last Apply's specs. Where proxies have breakers of their own, it is that of all
// together, followed by that of each. It locks one breaker at a time.
func (e *Engine) AppendSnapshot(all []Status, now Instant) []Status {
	for _, g := range e.table.Load().list {
		all = g.appendStatus(all, now)
	}
	return all
}
