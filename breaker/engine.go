package breaker

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Engine holds the breakers of a process. All methods are safe for concurrent use.
//
// Finding a breaker takes no lock, and each breaker has its own. Changes of the table
// of breakers are serialised, and each becomes visible as a whole.
type Engine struct {
	apply  sync.Mutex // serialises Apply
	table  atomic.Pointer[table]
	kept   kept
	shared shared
}

// shared is the part of an engine that its breakers use.
type shared struct {
	queue
	restless
	now func() Instant
}

// Options connect an [Engine] to the program around it. The zero value makes an engine
// without a listener.
type Options struct {
	// Listen is called for every transition, one at a time and, for each breaker, in order
	// of [Transition.Sequence]. No lock is held, so it may call the engine. It runs on a
	// goroutine that is using the engine, as a rule the one that caused the transition,
	// so it should leave slow work to another goroutine. It must not panic.
	Listen func(Transition)
	// Wake is called when [Engine.Advance] has to be called sooner than it said: time
	// alone will change a breaker earlier, or there are more transitions to deliver than
	// one call should have to. The rules of Listen hold for it too.
	Wake func()
	// Now reads the clock on which all instants are. Only [Do] needs it.
	Now func() Instant
}

// NewEngine returns an engine without breakers.
func NewEngine(o Options) *Engine {
	e := &Engine{}
	e.shared.listen, e.shared.wake, e.shared.now = o.Listen, o.Wake, o.Now
	e.shared.next.Store(int64(never))
	e.shared.idle = sync.NewCond(&e.shared.queue.mu)
	e.table.Store(newTable(nil))
	return e
}

// Changes says what [Engine.Apply] did, by key, in the order of the specs. It does not
// mention the breakers that stayed as they were.
type Changes struct {
	Added     []Key
	Removed   []Key // in the order of the specs that had them
	Restarted []Key // new semantics: closed, in a new generation
	// Kept has the removed breakers that the engine remembers, since they were open,
	// half-open or held by an operator.
	Kept []Saved
	// Forgotten are breakers in such a state whose state is lost: there is too much to
	// remember; or they belonged to proxies, which now share one breaker; or they were
	// added again with other semantics or another scope than the engine remembers.
	Forgotten []Key
	// Restored are the added breakers that go on from what the engine remembered.
	Restored []Key
}

// Apply makes specs the engine's breakers. A breaker whose Config is the same keeps its
// state. A breaker whose Config differs starts closed, in a new generation, and keeps its
// counts and its override. A breaker that is removed while it is open, half-open or held
// by an operator is remembered until that would have ended. If it is added again before,
// it goes on from there, by the rules of [Engine.Restore]. At most 1,000 breakers are
// remembered.
//
// The keys of specs must differ from each other, their configs must be valid
// ([Config.Validate]) and their leases above 0.
func (e *Engine) Apply(specs []Spec, now Instant) Changes {
	defer e.shared.deliver() // after the lock is released: a listener may call Apply too
	e.apply.Lock()
	defer e.apply.Unlock()
	old := e.table.Load()
	list := make([]*group, 0, len(specs))
	interned := interner{all: map[params]*params{}}
	var ch Changes
	from := 0
	for i := range specs {
		s := &specs[i]
		p := interned.one(s)
		var g *group
		g, from = old.findFrom(from, s.Key.Upstream, s.Key.Route)
		switch {
		case g == nil:
			g = newGroup(s, p, &e.shared, now)
			ch.Added = append(ch.Added, s.Key)
		case (g.nodes != nil) != s.PerNode:
			ch.Forgotten = g.appendForced(ch.Forgotten)
			g = g.replaced(newGroup(s, p, &e.shared, now), now)
			ch.Restarted = append(ch.Restarted, s.Key)
		case g.configure(p, now):
			ch.Restarted = append(ch.Restarted, s.Key)
		}
		list = append(list, g)
	}
	next := old
	if !slices.Equal(list, old.list) {
		next = newTable(list)
		e.table.Store(next)
	}
	for _, key := range ch.Added {
		restored, lost := e.takeUp(e.kept.take(key.Upstream, key.Route, now), now, now)
		ch.Restored, ch.Forgotten = append(ch.Restored, restored...), append(ch.Forgotten, lost...)
	}
	if next == old {
		return ch
	}
	from = 0
	for _, g := range old.list {
		key := g.key()
		var stays *group
		if stays, from = next.findFrom(from, key.Upstream, key.Route); stays == nil {
			e.keep(g, &ch, now)
			g.retire()
			ch.Removed = append(ch.Removed, key)
		}
	}
	return ch
}

// interner has one copy of equal params.
type interner struct {
	all  map[params]*params
	last *params // nil: there is none yet
}

// one returns the copy of the params of s. It is often the last one.
func (i *interner) one(s *Spec) *params {
	p := params{Config: s.Config, lease: s.Lease, timeout: s.Timeout, gone: s.ClientGone}
	if i.last == nil || *i.last != p {
		if i.all[p] == nil {
			i.all[p] = &p
		}
		i.last = i.all[p]
	}
	return i.last
}

// Breaker returns the breaker of key, or nil if there is none. A key with a node means the
// breaker of a proxy that [Engine.Node] has made. The handle stays valid: a breaker that was
// removed since still admits and resolves calls, but its transitions are not delivered.
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

// Acquire asks the breaker of key for a permit. Where there is no such breaker, the call
// is admitted and its permit does nothing.
func (e *Engine) Acquire(key Key, now Instant) (Permit, Decision) {
	b := e.Breaker(key)
	if b == nil {
		return Permit{}, Decision{Admitted: true, State: Closed}
	}
	return b.Acquire(now)
}

// Report takes outcomes that come in batches, and late. It sorts them by their time. Each
// counts in the part of the window in which its call ended, if the window still has that
// part. A call of an earlier generation, or one that began before the present
// generation, is only counted in the totals. In half-open only probes are judged, except
// that the mode MetricsOnly, which admits all calls, judges all that began in half-open.
//
// Failures in a row trip the breaker when no success can be among them. Where successes
// are sampled, that takes a run so long that it would hardly ever come about at the rate of
// failures from before; until then the failure rate decides. Failures since which every
// success is reported count as where nothing is sampled. A success that is taken back
// never was one: the failures before and after it are one run.
//
// Where there is no breaker for the key, Report does nothing.
func (e *Engine) Report(key Key, outcomes []Reported, now Instant) {
	b := e.Breaker(key)
	if b == nil {
		b = e.Node(key, key.Node, now)
	}
	if b != nil {
		b.Report(outcomes, now)
	}
}

// Snapshot returns the status of every breaker at now; see [Engine.AppendSnapshot].
func (e *Engine) Snapshot(now Instant) []Status {
	return e.AppendSnapshot(make([]Status, 0, len(e.table.Load().list)), now)
}

// AppendSnapshot appends the status of every breaker at now, in the order of the specs
// of the last Apply. Where proxies have breakers of their own, the sum of all comes first,
// and then the status of each. It locks one breaker at a time.
func (e *Engine) AppendSnapshot(all []Status, now Instant) []Status {
	for _, g := range e.table.Load().list {
		all = g.appendStatus(all, now)
	}
	return all
}
