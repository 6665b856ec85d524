package peers

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/lockorder"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/calls"
	"breakwater.dev/peers/internal/convert"
	"breakwater.dev/peers/internal/peerspb"
	"breakwater.dev/peers/internal/places"
	"breakwater.dev/peers/internal/roster"
)

// The times of the protocol.
const (
	// patience is how long a new owner waits for what the old one knows.
	patience = time.Second
	// again is how long an answer may take before a message is sent again.
	again = 300 * time.Millisecond
	// figuresPeriod is how often the counts of breakers are sent.
	figuresPeriod = time.Second
	// maxHops bounds how often a message is passed on.
	maxHops = 3
)

// Options connect a router with the rest of the process.
type Options struct {
	Self   membership.Member
	Engine *breaker.Engine
	// Send sends a message to another replica, or drops it. It must not block, and must not call the router.
	Send func(to membership.Member, m *peerspb.Message)
	// Deliver gets each transition of every breaker once. mirrored means that another replica has made it. It is called without a
	// lock, on the goroutine that brought the transition.
	Deliver func(t breaker.Transition, mirrored bool)
	// Changed is called when the status of a breaker may have changed without a transition, such as when its owner has
	// changed.
	Changed func(breaker.Key)
	// Suspect is called when another replica wants all calls of a breaker to be logged. The key has no node.
	Suspect func(breaker.Key)
	// Flush returns when all transitions so far were given to [Router.Observe]. It is called without a lock.
	Flush func()
	// Wake is called when [Router.Tick] has to be called sooner than it said.
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
	table   atomic.Pointer[table]
	stats   stats
	running calls.Running // calls of breakers elsewhere

	mu       lockorder.Mutex[lockorder.Peers] // guards what follows
	roster   *roster.Roster
	before   func(breaker.Key) string // the owners by the view before, while the next one takes its place; nil: not known
	specs    map[breaker.Key]*spec
	peers    map[string]*peer
	holdings map[breaker.Key]*holding
	mirrors  map[breaker.Key]*mirror
	pending  map[breaker.Key]*pending
	giving   map[uint64]*giving
	asks     calls.Asks
	changes  map[uint64]*change
	groups   map[breaker.Key]convert.Rank // the last change by hand of all proxies' breakers that was made here
	made     []madeChange                 // changes by hand that were made here, so that none is made twice
	held     []breaker.Transition         // that wait for the confirmation that this replica still is a member
	nextID   uint64
	figures  breaker.Instant // when counts were last sent
	effects  []func()        // to call without the lock
}

// spec is a breaker of the policy.
type spec struct {
	breaker.Spec
	sum         uint64 // of the config
	connections bool   // its calls are connections
}

// New returns a router without breakers. ids of messages begin after first, which should be random.
func New(o Options, first uint64) *Router {
	r := &Router{
		o: o, roster: roster.New(o.Self, o.LeasesOnly), local: o.Engine.Decider(), nextID: first,
		specs: map[breaker.Key]*spec{}, peers: map[string]*peer{}, holdings: map[breaker.Key]*holding{}, mirrors: map[breaker.Key]*mirror{},
		pending: map[breaker.Key]*pending{}, giving: map[uint64]*giving{}, changes: map[uint64]*change{},
		groups: map[breaker.Key]convert.Rank{},
	}
	r.table.Store(newTable(places.New(r.roster.Reach()), nil))
	return r
}

// Apply replaces the breakers of the policy, which the engine has already. connections reports whether the calls of a breaker
// are connections, so that nobody asks for permits; nil: no breaker's are.
func (r *Router) Apply(specs []breaker.Spec, connections func(breaker.Key) bool, now breaker.Instant) {
	r.mu.Lock()
	defer r.unlock()
	r.specs = make(map[breaker.Key]*spec, len(specs))
	for i := range specs {
		key := specs[i].Key
		r.specs[key] = &spec{specs[i], xxhash.Sum64String(fmt.Sprintf("%+v", specs[i].Config)), connections != nil && connections(key)}
	}
	r.dropUnknown()
	r.replace(now)
}

// specOf returns the policy's breaker that a key belongs to, or nil.
func (r *Router) specOf(key breaker.Key) *spec { return r.specs[shared(key)] }

// shared returns the key without its node.
func shared(key breaker.Key) breaker.Key {
	key.Node = ""
	return key
}

// dropUnknown forgets breakers that the policy no longer has.
func (r *Router) dropUnknown() {
	for key := range r.holdings {
		if r.specOf(key) == nil {
			delete(r.holdings, key)
		}
	}
	for key := range r.mirrors {
		if r.specOf(key) == nil {
			delete(r.mirrors, key)
		}
	}
	for key := range r.pending {
		if r.specOf(key) == nil {
			delete(r.pending, key)
		}
	}
}

// unlock releases the lock, and makes the calls to others that were put off until then.
func (r *Router) unlock() {
	effects := r.effects
	r.effects = nil
	r.mu.Unlock()
	for _, f := range effects {
		f()
	}
}

// later has f called without the lock.
func (r *Router) later(f func()) { r.effects = append(r.effects, f) }

// changed has gates and pages look at a breaker again.
func (r *Router) changed(key breaker.Key) { r.later(func() { r.o.Changed(key) }) }

func (r *Router) id() uint64 {
	r.nextID++
	return r.nextID
}
