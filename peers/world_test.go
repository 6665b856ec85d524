package peers

import (
	"cmp"
	"container/heap"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"breakwater.dev/breaker"
	"breakwater.dev/membership"
	"breakwater.dev/membership/quorum"
	"breakwater.dev/peers/internal/peerspb"
)

// world has replicas of the control plane, their network, their store and their upstreams, all in one goroutine and in simulated
// time.
type world struct {
	now    breaker.Instant
	random *rand.Rand
	events events
	specs  []breaker.Spec
	fail   func(format string, args ...any)
	log    []string // events, for a failure

	replicas []*replica // the dead ones too
	next     int        // the number of the next replica

	cut               map[[2]string]bool // pairs that do not reach each other
	loss, twice       float64
	slowest           time.Duration
	store             store
	members           source
	flying            map[breaker.Key]map[*call]bool // probes in flight
	most              int                            // probes in flight at once
	sick              map[breaker.Key]bool
	delivered         map[delivery]string
	admitted, refused int
}

// delivery identifies a transition.
type delivery struct {
	key        breaker.Key
	epoch      uint64
	generation uint64
}

type event struct {
	at  breaker.Instant
	seq int
	do  func()
}

type events struct {
	list []event
	seq  int
}

func (e *events) Len() int { return len(e.list) }
func (e *events) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(e.list[i].at, e.list[j].at), cmp.Compare(e.list[i].seq, e.list[j].seq)) < 0
}
func (e *events) Swap(i, j int) { e.list[i], e.list[j] = e.list[j], e.list[i] }
func (e *events) Push(x any)    { e.list = append(e.list, x.(event)) }
func (e *events) Pop() any {
	last := e.list[len(e.list)-1]
	e.list = e.list[:len(e.list)-1]
	return last
}

// after has something happen in the future.
func (w *world) after(d time.Duration, do func()) {
	w.events.seq++
	heap.Push(&w.events, event{w.now.Add(d), w.events.seq, do})
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	until := w.now.Add(d)
	for len(w.events.list) > 0 && w.events.list[0].at <= until {
		e := heap.Pop(&w.events).(event)
		w.now = e.at
		e.do()
	}
	w.now = until
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%8.3f ", time.Duration(w.now).Seconds())+fmt.Sprintf(format, args...))
}

// replica is one process.
type replica struct {
	w           *world
	member      membership.Member
	offset      breaker.Instant // its clock is ahead by this
	engine      *breaker.Engine
	router      *Router
	agent       *membership.Agent                        // with a store only
	counted     func(membership.Member, *quorum.Message) // takes a message about members that are counted
	dead        bool
	frozen      bool
	settled     bool     // it has known all breakers
	waiting     []func() // calls that are made when it goes on
	transitions []breaker.Transition
	ticking     breaker.Instant // when the next tick is
	generations map[breaker.Key]uint64
}

func newWorld(seed uint64, specs []breaker.Spec) *world {
	w := &world{
		now: breaker.Instant(time.Hour), random: rand.New(rand.NewPCG(seed, 1)), specs: specs, cut: map[[2]string]bool{}, slowest: 5 * time.Millisecond,
		store:  store{alive: map[string]alive{}, cut: map[string]bool{}},
		flying: map[breaker.Key]map[*call]bool{}, sick: map[breaker.Key]bool{}, delivered: map[delivery]string{},
		fail: func(format string, args ...any) { panic(fmt.Sprintf(format, args...)) },
	}
	w.members = &w.store
	w.store.w = w
	return w
}

// notes adds the log of a replica to the log of the world.
type notes struct {
	w  *world
	id string
}

func (n notes) Write(line []byte) (int, error) {
	n.w.note("%s: %s", n.id, strings.TrimSpace(string(line)))
	return len(line), nil
}

func timeless(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
		return slog.Attr{}
	}
	return a
}

// start starts a replica.
func (w *world) start() *replica {
	w.next++
	id := fmt.Sprintf("r%d", w.next)
	p := &replica{w: w, member: membership.Member{ID: id, Address: id, Name: id}, offset: breaker.Instant(w.random.Int64N(int64(time.Hour))), generations: map[breaker.Key]uint64{}}
	p.engine = breaker.NewEngine(breaker.Options{Listen: func(t breaker.Transition) { p.transitions = append(p.transitions, t) }})
	p.router = New(Options{
		Self: p.member, Engine: p.engine, Log: slog.New(slog.NewTextHandler(notes{w, id}, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: timeless})),
		Send:    func(to membership.Member, m *peerspb.Message) { w.send(p, to.ID, m) },
		Deliver: p.deliver, Changed: func(breaker.Key) {}, Suspect: func(breaker.Key) {}, Sampled: func() {}, Flush: p.flush,
		Wake: func() { w.after(0, p.tick) }, LeasesOnly: w.members != &w.store,
	}, w.random.Uint64()>>8)
	w.replicas = append(w.replicas, p)
	p.engine.Apply(w.specs, p.now())
	p.router.Apply(w.specs, nil, p.now())
	w.note("%s starts", id)
	w.after(0, p.tick)
	w.members.start(p)
	return p
}

func (p *replica) now() breaker.Instant { return p.w.now + p.offset }

// do has the replica do something, when it is not frozen.
func (p *replica) do(f func()) {
	switch {
	case p.dead:
	case p.frozen:
		p.waiting = append(p.waiting, f)
	default:
		f()
		p.settle()
	}
}

// settle advances the engine and delivers its transitions.
func (p *replica) settle() {
	if next, due := p.engine.Advance(p.now()); due {
		p.w.after(max(next.Sub(p.now()), 0)+time.Nanosecond, func() { p.do(func() {}) })
	}
	p.flush()
}

func (p *replica) flush() {
	for len(p.transitions) > 0 {
		t := p.transitions[0]
		p.transitions = p.transitions[1:]
		p.router.Observe(t, p.now())
	}
}

func (p *replica) tick() {
	p.do(func() {
		next := p.router.Tick(p.now())
		at := next - p.offset
		if p.ticking > p.w.now && p.ticking <= at {
			return // there is one already
		}
		p.ticking = at
		p.w.after(at.Sub(p.w.now), func() {
			if p.ticking == p.w.now {
				p.tick()
			}
		})
	})
}

// deliver checks that no two replicas that own a breaker make one generation.
func (p *replica) deliver(t breaker.Transition, mirrored bool) {
	if mirrored {
		return
	}
	r := p.router
	r.mu.Lock()
	owns, epoch := r.core.Owns(t.Key, p.now()), r.core.Epoch()
	r.mu.Unlock()
	p.w.note("%s: %s %v -> %v (%v), generation %d, epoch %d, owns %v", p.member.ID, t.Key, t.Edge.From, t.Edge.To, t.Edge.Reason, t.Generation, epoch, owns)
	if t.Generation <= p.generations[t.Key] {
		p.w.fail("%s: generation %d of %s after %d", p.member.ID, t.Generation, t.Key, p.generations[t.Key])
	}
	p.generations[t.Key] = t.Generation
	if !owns {
		return
	}
	at := delivery{t.Key, epoch, t.Generation}
	if other := p.w.delivered[at]; other != "" {
		p.w.fail("%s and %s: generation %d of %s in epoch %d", other, p.member.ID, t.Generation, t.Key, epoch)
	}
	p.w.delivered[at] = p.member.ID
}

// send carries a message, or loses it.
func (w *world) send(from *replica, to string, m *peerspb.Message) {
	data, err := proto.Marshal(m)
	if err != nil {
		w.fail("marshal: %v", err)
	}
	w.carry(from, to, func(target *replica) {
		m := &peerspb.Message{}
		if err := proto.Unmarshal(data, m); err != nil {
			w.fail("unmarshal: %v", err)
		}
		target.router.Receive(from.member, m, target.now())
	})
}

// carry brings something to another replica, perhaps twice, or loses it.
func (w *world) carry(from *replica, to string, arrives func(target *replica)) {
	for range 1 + w.chance(w.twice) {
		if w.cut[pair(from.member.ID, to)] || w.random.Float64() < w.loss {
			continue
		}
		w.after(time.Duration(w.random.Int64N(int64(w.slowest))), func() {
			target := w.replica(to)
			if target == nil || w.cut[pair(from.member.ID, to)] {
				return
			}
			target.do(func() { arrives(target) })
		})
	}
}

func (w *world) chance(p float64) int {
	if w.random.Float64() < p {
		return 1
	}
	return 0
}

func pair(x, y string) [2]string { return [2]string{min(x, y), max(x, y)} }

func (w *world) replica(id string) *replica {
	i := slices.IndexFunc(w.replicas, func(p *replica) bool { return p.member.ID == id })
	if i < 0 || w.replicas[i].dead {
		return nil
	}
	return w.replicas[i]
}

// living returns the replicas that are not dead.
func (w *world) living() (all []*replica) {
	for _, p := range w.replicas {
		if !p.dead {
			all = append(all, p)
		}
	}
	return all
}

func (p *replica) kill() {
	p.w.note("%s is killed", p.member.ID)
	p.dead = true
}

func (p *replica) freeze() {
	p.w.note("%s is frozen", p.member.ID)
	p.frozen = true
}

func (p *replica) thaw() {
	p.w.note("%s goes on", p.member.ID)
	p.frozen = false
	waiting := p.waiting
	p.waiting = nil
	p.w.random.Shuffle(len(waiting), func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
	for _, f := range waiting {
		p.do(f)
	}
}

// store is the registry.
type store struct {
	w     *world
	view  membership.View
	alive map[string]alive
	down  bool
	cut   map[string]bool // replicas that do not reach it
}

type alive struct {
	member membership.Member
	until  breaker.Instant
}

func (w *world) reading() *membership.Reading {
	r := &membership.Reading{View: w.store.view}
	for _, a := range w.store.alive {
		if a.until > w.now {
			r.Live = append(r.Live, a.member)
		}
	}
	slices.SortFunc(r.Live, func(x, y membership.Member) int { return cmp.Compare(x.ID, y.ID) })
	return r
}

func (s *store) room() bool { return len(s.w.living()) < 5 }

func (s *store) heal() {
	clear(s.cut)
	s.down = false
}

func (s *store) start(p *replica) {
	p.agent = membership.NewAgent(p.member, func() string { return fmt.Sprint(s.w.random.Uint64()) })
	s.w.after(0, p.beat)
}

// beat is one beat of the replica to the store, and the next one.
func (p *replica) beat() {
	w := p.w
	p.do(func() {
		sent := p.now()
		reaches := func() bool { return !w.store.down && !w.store.cut[p.member.ID] && !p.dead }
		delay := time.Duration(w.random.Int64N(int64(3 * time.Millisecond)))
		w.after(delay, func() {
			if !reaches() {
				w.after(300*time.Millisecond, func() { p.do(p.agent.Failed) })
				return
			}
			w.store.alive[p.member.ID] = alive{p.member, w.now.Add(membership.Lease)}
			reading := w.reading()
			w.after(delay, func() {
				if !reaches() {
					return
				}
				p.do(func() { p.answered(reading, sent) })
			})
		})
	})
	if !p.dead {
		w.after(membership.Period, p.beat)
	}
}

func (p *replica) answered(reading *membership.Reading, sent breaker.Instant) {
	w := p.w
	p.router.mu.Lock()
	p.agent.Learn(*p.router.core.CurrentView())
	p.router.mu.Unlock()
	result := p.agent.Answered(reading, sent, p.now())
	p.router.View(result.View, p.now())
	if result.Lease != 0 {
		p.router.Lease(result.View.Epoch, sent, result.Lease, p.now())
	}
	if result.Replace != nil && w.store.view.Same(result.Old) {
		w.store.view = *result.Replace
		w.note("epoch %d: %d members %v, by %s", w.store.view.Epoch, len(w.store.view.Members), ids(w.store.view), p.member.ID)
	}
}

func ids(v membership.View) (all []string) {
	for _, m := range v.Members {
		all = append(all, m.ID)
	}
	return all
}
