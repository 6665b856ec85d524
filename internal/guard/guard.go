package guard

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"breakwater.dev/internal/untrusted"
)

// Options are what a guard is made of.
type Options struct {
	// Rules say who may claim what; nil: whoever may connect may claim everything.
	Rules *Rules
	// Memory is how many bytes all peers may hold together, by estimate; 0: [DefaultMemory].
	Memory int64
	// Connections is how many connections there may be at a time; 0, or more than the memory allows: as many as that.
	Connections int
	Log         *slog.Logger
}

// DefaultMemory is how many bytes all peers may hold unless it is said otherwise. An Envoy with
// two workers takes some 180 KiB of it.
const DefaultMemory = 256 << 20

// What things hold, as measured with this version of grpc-go, and rounded up.
const (
	ConnectionBytes = 24 << 10 // a connection with TLS, its buffers and its three goroutines
	CallBytes       = 12 << 10 // an ext_proc stream
	LogBytes        = 18 << 10 // a stream of access logs, without what waits in it
	XDSBytes        = 32 << 10 // a stream of configuration, without what is sent
)

// What one account may hold of the memory in each class, in eighths, so that there is some for
// others, and for the rest of its own.
const (
	all   = 6
	calls = 3 // of ext_proc: 8,192 at a time, of [DefaultMemory]
	data  = 2 // what is on its way to it, what it asks for, and what is made for it
)

// Guard stands at one port.
type Guard struct {
	options  Options
	refusals refusals
	held     atomic.Int64
	door     *Door  // of the port for proxies
	shedAt   uint64 // how many collections there had been when a connection was last closed for memory; of Shed

	mu       sync.Mutex // guards what follows
	accounts map[string]*account
	conns    map[*conn]bool
}

// New returns a guard.
func New(o Options) *Guard {
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	most := int(o.Memory / ConnectionBytes)
	if o.Connections > 0 {
		most = min(most, o.Connections)
	}
	g := &Guard{
		options: o, refusals: refusals{log: o.Log, lines: untrusted.Limiter[kind]{Each: quiet, All: loud}}, accounts: map[string]*account{}, conns: map[*conn]bool{},
	}
	g.door = newDoor(g, Connection, most, most) // proxies behind one address are bounded by what they hold
	return g
}

// Held returns how many bytes peers hold, by estimate, and how many they may.
func (g *Guard) Held() (bytes, most int64) { return g.held.Load(), g.options.Memory }

// account is what all connections of one identity share: of one name in certificates, or of
// one address where there are none.
type account struct {
	key         string
	held        [all + 1]atomic.Int64 // by class
	connections int                   // guarded by Guard.mu, as are bans
	banned      time.Time             // until then there are no new connections
	ban         time.Duration         // how long that is

	mu     sync.RWMutex // guards what follows
	lists  int          // streams that say which upstreams they call
	all    int          // of them those that call all
	calls  map[string]int
	stale  bool      // all have ended, and what they said stays
	left   time.Time // when
	pauses map[string]pause
}

// lingering is for how long the word of a proxy counts whose configuration stream has ended:
// it comes back on another one, and its calls go on meanwhile.
const lingering = time.Minute

func (g *Guard) account(key string) *account {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.accounts[key]
	if a == nil {
		g.forget()
		a = &account{key: key, calls: map[string]int{}, pauses: map[string]pause{}}
		g.accounts[key] = a
	}
	a.connections++
	return a
}

// maxIdleAccounts is from how many accounts on those are forgotten that nobody uses.
const maxIdleAccounts = 1_024

func (g *Guard) forget() {
	if len(g.accounts) < maxIdleAccounts {
		return
	}
	for key, a := range g.accounts {
		if a.connections == 0 && !time.Now().Before(a.banned) {
			delete(g.accounts, key)
		}
	}
}

// Bounds on how long an account gets no new connection.
const leastBan, longestBan = time.Second, 30 * time.Second

// forbid has an account get no new connection for a while, which is longer each time. Those that
// it has go on: others may be behind the same address.
func (g *Guard) forbid(a *account) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if now.Sub(a.banned) > 2*longestBan {
		a.ban = 0
	}
	a.ban = min(max(2*a.ban, leastBan), longestBan)
	a.banned = now.Add(a.ban)
}

// forbids tells whether the account of a key, if there is one, gets no new connection now.
func (g *Guard) forbids(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.accounts[key]
	return a != nil && time.Now().Before(a.banned)
}

func (g *Guard) forbidden(a *account) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Now().Before(a.banned)
}

func (g *Guard) leave(a *account) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a.connections--
}

// take has an account hold more of a class, and tells whether it may.
func (g *Guard) take(a *account, class int, n int64) bool {
	eighth := g.options.Memory / 8
	ok := g.held.Add(n) <= g.options.Memory
	ok = a.held[all].Add(n) <= all*eighth && ok
	if class != all {
		ok = a.held[class].Add(n) <= int64(class)*eighth && ok
	}
	return ok
}
