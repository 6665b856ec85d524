package core

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"breakwater.dev/breaker"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/peerspb"
	"breakwater.dev/peers/internal/places"
	"breakwater.dev/peers/internal/roster"
)

// The times of the protocol.
const (
	// Patience is how long a new owner waits for what the old one knows.
	Patience = time.Second
	// Again is how long an answer may take before a message is sent again.
	Again = 300 * time.Millisecond
	// MaxHops bounds how often a message is passed on.
	MaxHops = 3
	// figuresPeriod is how often the counts of breakers are sent.
	figuresPeriod = time.Second
	// tickPeriod is how often [Core.Tick] is called when there is nothing else to do.
	tickPeriod = 50 * time.Millisecond
)

// Options connect a core with the rest of the process.
type Options struct {
	Self       membership.Member
	LeasesOnly bool // see [roster.Roster]
	Engine     *breaker.Engine
	// Send sends a message to another replica, or drops it.
	Send func(to membership.Member, m *peerspb.Message)
	// Deliver, Changed and Wake have the meaning that peers gives them. They are called among the effects; see [Core.Effects].
	Deliver func(t breaker.Transition, mirrored bool)
	Changed func(breaker.Key)
	Wake    func()
	Log     *slog.Logger
}

// Core has the breakers of all replicas. Make one with [New].
type Core struct {
	// Counters say what the core has done.
	Counters
	o       Options
	local   breaker.Decider // this replica's engine
	table   atomic.Pointer[table]
	roster  *roster.Roster
	before  func(breaker.Key) string // the owners by the view before, while the next one takes its place; nil: not known
	specs   map[breaker.Key]*Spec
	peers   map[string]*Peer
	holds   map[breaker.Key]*holding
	mirrors map[breaker.Key]*Mirror
	pending map[breaker.Key]*pending
	giving  map[uint64]*giving
	groups  map[breaker.Key]convert.Rank // the last change by hand of all proxies' breakers that was made here
	held    []breaker.Transition         // that wait for the confirmation that this replica still is a member
	nextID  uint64
	figures breaker.Instant // when counts were last sent
	effects []func()
}

// Counters count since the start.
type Counters struct {
	Forwarded uint64 // outcomes that were sent to other replicas
	Received  uint64 // outcomes that other replicas sent
	Dropped   uint64 // outcomes that reached no owner
	Takeovers uint64 // breakers that came from other replicas with a state
}

// Spec is a breaker of the policy.
type Spec struct {
	breaker.Spec
	sum         uint64 // the checksum of the config
	connections bool   // its calls are connections
}

// New returns a core without breakers. Ids of messages begin after first.
func New(o Options, first uint64) *Core {
	c := &Core{
		o: o, roster: roster.New(o.Self, o.LeasesOnly), local: o.Engine.Decider(), nextID: first,
		specs: map[breaker.Key]*Spec{}, peers: map[string]*Peer{}, holds: map[breaker.Key]*holding{}, mirrors: map[breaker.Key]*Mirror{},
		pending: map[breaker.Key]*pending{}, giving: map[uint64]*giving{}, groups: map[breaker.Key]convert.Rank{},
	}
	c.table.Store(newTable(places.New(c.roster.Reach()), nil))
	return c
}

// Apply replaces the breakers of the policy, which the engine has already. connections reports whether the calls of a breaker
// are connections, so that no caller asks for permits; nil: no breaker's are.
func (c *Core) Apply(specs []breaker.Spec, connections func(breaker.Key) bool, now breaker.Instant) {
	c.specs = make(map[breaker.Key]*Spec, len(specs))
	for i := range specs {
		key := specs[i].Key
		c.specs[key] = &Spec{specs[i], xxhash.Sum64String(fmt.Sprintf("%+v", specs[i].Config)), connections != nil && connections(key)}
	}
	dropUnknown(c, c.holds)
	dropUnknown(c, c.mirrors)
	dropUnknown(c, c.pending)
	c.replace(now)
}

// dropUnknown forgets breakers that the policy no longer has.
func dropUnknown[V any](c *Core, of map[breaker.Key]V) {
	for key := range of {
		if c.SpecOf(key) == nil {
			delete(of, key)
		}
	}
}

// SpecOf returns the policy's breaker that a key belongs to, or nil.
func (c *Core) SpecOf(key breaker.Key) *Spec { return c.specs[Shared(key)] }

// Specs has the breakers of the policy by their keys. The caller does not change it.
func (c *Core) Specs() map[breaker.Key]*Spec { return c.specs }

// Shared returns the key without its node.
func Shared(key breaker.Key) breaker.Key {
	key.Node = ""
	return key
}

// Effects returns the calls to others that were put off, and forgets them. The caller makes them when it has let go of its lock.
func (c *Core) Effects() []func() {
	effects := c.effects
	c.effects = nil
	return effects
}

// Later puts off a call to others.
func (c *Core) Later(f func()) { c.effects = append(c.effects, f) }

// changed has gates and pages look at a breaker again.
func (c *Core) changed(key breaker.Key) { c.Later(func() { c.o.Changed(key) }) }

// NewID returns an id for a message.
func (c *Core) NewID() uint64 {
	c.nextID++
	return c.nextID
}

// Tick does what time brings.
func (c *Core) Tick(now breaker.Instant) {
	c.Awake(now)
	c.roster.Look(now)
	c.Resume(now)
	if c.roster.Silent(now) {
		c.replace(now)
	}
	c.overdue(now)
	if c.roster.BeatsDue(now) {
		c.beats(now)
	}
	c.retarget(now)
	c.remind(now)
	if now.Sub(c.figures) >= figuresPeriod {
		c.sendFigures(now)
	}
}

// Flush sends the reports that are due. It returns when it has to be called again, with Tick.
func (c *Core) Flush(now breaker.Instant) (next breaker.Instant) {
	next = now.Add(tickPeriod)
	for _, p := range c.Others() {
		if !p.Answers(now) {
			continue // its outcomes go elsewhere, or to it when it is back
		}
		for _, report := range p.out.Take(now) {
			c.Send(p, &peerspb.Message{Kind: &peerspb.Message_Report{Report: convert.Report(report, p.out.Session, now)}})
		}
		if at, ok := p.out.Due(); ok {
			next = min(next, at)
		}
	}
	return max(next, now.Add(time.Millisecond))
}

// Receive takes a message of another replica. It reports false where that is none for the core.
func (c *Core) Receive(p *Peer, m *peerspb.Message, now breaker.Instant) bool {
	switch k := m.GetKind().(type) {
	case *peerspb.Message_Beat:
		c.tookBeat(p, k.Beat, now)
	case *peerspb.Message_Report:
		c.tookReport(p, k.Report, now)
	case *peerspb.Message_States:
		c.tookStates(p, k.States, now)
	case *peerspb.Message_Sync:
		c.tookSync(p, k.Sync, now)
	case *peerspb.Message_Handover:
		c.tookHandover(p, k.Handover, now)
	default:
		return false
	}
	return true
}

// compareKeys orders keys.
func compareKeys(x, y breaker.Key) int {
	return cmp.Or(cmp.Compare(x.Upstream, y.Upstream), cmp.Compare(x.Route, y.Route), cmp.Compare(x.Node, y.Node))
}

// breakers returns the keys of a map in order.
func breakers[V any](m map[breaker.Key]V) []breaker.Key {
	return slices.SortedFunc(maps.Keys(m), compareKeys)
}

// SortedIDs returns the ids of a map in order.
func SortedIDs[V any](m map[uint64]V) []uint64 { return slices.Sorted(maps.Keys(m)) }
