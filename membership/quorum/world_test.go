package quorum

import (
	"cmp"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"breakwater.dev/instant"
	"breakwater.dev/membership"
)

// world has replicas and their network, in one goroutine and in simulated time.
type world struct {
	now      instant.Instant
	random   *rand.Rand
	events   []event
	seq      int
	fail     func(format string, args ...any)
	log      []string
	changing bool // the addresses come from a name

	sites   []*site // places at which a replica can run, each with its address
	next    int
	cut     map[[2]string]bool // pairs of addresses
	loss    float64
	twice   float64
	slowest time.Duration

	published []publication // the addresses that the name has had
	inForce   []membership.View
	had       map[string]map[string]bool // by the nonce of a view: the addresses at which it was accepted
}

type publication struct {
	at        instant.Instant
	addresses []string
}

type event struct {
	at  instant.Instant
	seq int
	do  func()
}

type heapOf struct{ w *world }

func (h heapOf) Len() int { return len(h.w.events) }
func (h heapOf) Less(i, j int) bool {
	x, y := &h.w.events[i], &h.w.events[j]
	return cmp.Or(cmp.Compare(x.at, y.at), cmp.Compare(x.seq, y.seq)) < 0
}
func (h heapOf) Swap(i, j int) { h.w.events[i], h.w.events[j] = h.w.events[j], h.w.events[i] }
func (h heapOf) Push(x any)    { h.w.events = append(h.w.events, x.(event)) }
func (h heapOf) Pop() any {
	last := h.w.events[len(h.w.events)-1]
	h.w.events = h.w.events[:len(h.w.events)-1]
	return last
}

func newWorld(seed uint64) *world {
	return &world{
		now: instant.Instant(time.Hour), random: rand.New(rand.NewPCG(seed, 1)), cut: map[[2]string]bool{}, slowest: 5 * time.Millisecond,
		had:  map[string]map[string]bool{},
		fail: func(format string, args ...any) { panic(fmt.Sprintf(format, args...)) },
	}
}

func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(heapOf{w}, event{w.now.Add(d), w.seq, do})
}

// run lets time pass, and checks the invariants after each event.
func (w *world) run(d time.Duration) {
	until := w.now.Add(d)
	for len(w.events) > 0 && w.events[0].at <= until {
		e := heap.Pop(heapOf{w}).(event)
		w.now = e.at
		e.do()
		w.check()
	}
	w.now = until
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%8.3f ", time.Duration(w.now).Seconds())+fmt.Sprintf(format, args...))
}

// alias is the end of a second address of a site.
const alias = "-alias"

// site is a place with an address, at which one process after the other runs.
type site struct {
	w       *world
	address string
	lag     time.Duration // after which a change of the name is seen here
	silent  bool          // the name server does not answer here
	p       *process      // nil: none runs
}

type process struct {
	site    *site
	member  membership.Member
	offset  instant.Instant
	q       *Quorum
	frozen  bool
	waiting []func()
	dead    bool
	// The other parts of the process know these.
	view         membership.View
	lease, asked instant.Instant
}

func (w *world) site() *site {
	s := &site{w: w, address: fmt.Sprintf("a%d", len(w.sites)+1), lag: time.Duration(w.random.Int64N(int64(25 * time.Second)))}
	w.sites = append(w.sites, s)
	return s
}

// start starts a process. Its id is random, so that ids are in another order than processes.
func (s *site) start() *process {
	w := s.w
	w.next++
	id := fmt.Sprintf("%02x-%d", w.random.IntN(256), w.next)
	p := &process{site: s, member: membership.Member{ID: id, Address: s.address, Name: id}, offset: instant.Instant(w.random.Int64N(int64(time.Hour)))}
	epoch := uint64(time.Duration(w.now).Seconds()) + uint64(w.random.IntN(2))
	p.q = New(Options{Self: p.member, Nonce: func() string { return fmt.Sprint(w.random.Uint64()) }, Epoch: epoch, Changing: w.changing}, p.now())
	s.p = p
	w.note("%s starts at %s", id, s.address)
	p.look()
	p.tick()
	return p
}

func (p *process) now() instant.Instant { return p.site.w.now + p.offset }

// do has the process do something, when it is not frozen.
func (p *process) do(f func()) {
	switch {
	case p.dead:
	case p.frozen:
		p.waiting = append(p.waiting, f)
	default:
		f()
	}
}

func (p *process) tick() {
	if p.dead {
		return
	}
	p.do(func() { p.take(p.q.Tick(p.now())) })
	p.site.w.after(Period/2+time.Duration(p.site.w.random.Int64N(int64(20*time.Millisecond))), p.tick)
}

// look asks for the addresses now and then.
func (p *process) look() {
	if p.dead {
		return
	}
	p.do(func() {
		if addresses := p.site.w.answer(p.site); !p.site.silent && len(addresses) > 0 {
			p.q.Addresses(addresses, p.now())
		}
	})
	if p.site.w.changing {
		p.site.w.after(3*time.Second, p.look)
	}
}

// answer returns the addresses of the name as a site gets them.
func (w *world) answer(s *site) (addresses []string) {
	for _, one := range w.published {
		if !w.changing || w.now.Sub(one.at) >= s.lag {
			addresses = one.addresses
		}
	}
	return addresses
}

// publish changes the addresses of the name.
func (w *world) publish(addresses []string) {
	w.published = append(w.published, publication{w.now, slices.Clone(addresses)})
	w.note("the addresses are %v", addresses)
}

// take does what follows from a call, as the app does.
func (p *process) take(out Out) {
	w := p.site.w
	if !out.Result.View.Same(&p.view) {
		if out.Result.View.Epoch <= p.view.Epoch {
			w.fail("%s takes epoch %d after %d", p.member.ID, out.Result.View.Epoch, p.view.Epoch)
		}
		p.view, p.lease = out.Result.View, 0
		if w.had[p.view.Nonce] == nil {
			w.had[p.view.Nonce] = map[string]bool{}
		}
		w.had[p.view.Nonce][p.site.address] = true
		w.note("%s has epoch %d (%.4s after %.4s): %v", p.member.ID, p.view.Epoch, p.view.Nonce, p.view.Follows, ids(&p.view))
	}
	p.lease, p.asked = max(p.lease, out.Result.Lease), out.Asked
	for _, e := range out.Messages {
		w.send(p, e)
	}
}

func ids(v *membership.View) (all []string) {
	for _, m := range v.Members {
		all = append(all, m.ID)
	}
	return all
}

// send carries a message to the replica that is at an address when it arrives.
func (w *world) send(from *process, e Envelope) {
	a, b := from.site.address, e.To.Address
	cut := func() bool { return w.cut[pair(a, strings.TrimSuffix(b, alias))] }
	for range 1 + w.chance(w.twice) {
		if cut() || a != strings.TrimSuffix(b, alias) && w.random.Float64() < w.loss {
			continue
		}
		w.after(time.Duration(w.random.Int64N(int64(w.slowest))), func() {
			i := slices.IndexFunc(w.sites, func(s *site) bool { return s.address == b || s.address+alias == b })
			if cut() || i < 0 || w.sites[i].p == nil {
				return
			}
			target := w.sites[i].p
			target.do(func() { target.take(target.q.Receive(from.member, e.Message, target.now())) })
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

// living returns the processes that run, the frozen ones too.
func (w *world) living() (all []*process) {
	for _, s := range w.sites {
		if s.p != nil {
			all = append(all, s.p)
		}
	}
	return all
}

func (s *site) kill() {
	s.w.note("%s is killed", s.p.member.ID)
	s.p.dead, s.p = true, nil
}

func (p *process) freeze() {
	p.site.w.note("%s is frozen", p.member.ID)
	p.frozen = true
}

func (p *process) thaw() {
	w := p.site.w
	w.note("%s goes on", p.member.ID)
	p.frozen = false
	waiting := p.waiting
	p.waiting = nil
	w.random.Shuffle(len(waiting), func(i, j int) { waiting[i], waiting[j] = waiting[j], waiting[i] })
	for _, f := range waiting {
		p.do(f)
		w.check()
	}
}
