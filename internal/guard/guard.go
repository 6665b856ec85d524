package guard

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"breakwater.dev/internal/untrusted"
)

// Options configure a guard.
type Options struct {
	// Rules define which identities a certificate allows; nil: every proxy that can connect may claim any identity.
	Rules *Rules
	// Memory is how many bytes all peers together may use, by estimate; 0: [DefaultMemory].
	Memory int64
	// Connections is how many connections there may be at a time. 0 means as many as Memory has room for, which is a
	// bound on larger values too.
	Connections int
	// Log gets the refusals. It is required.
	Log *slog.Logger
}

// DefaultMemory is how many bytes all peers together may use by default. An Envoy with two workers uses about 180 KiB.
const DefaultMemory = 256 << 20

// Estimates of memory, measured with this version of grpc-go and rounded up.
const (
	ConnectionBytes = 24 << 10 // a connection with TLS, its buffers and its three goroutines
	CallBytes       = 12 << 10 // an ext_proc stream
	LogBytes        = 18 << 10 // an access log stream, without the entries that wait in it
	XDSBytes        = 32 << 10 // a configuration stream, without the responses that wait in it
)

// The classes of memory. Each one's value is an account's share of the whole memory, in eighths. The shares leave
// memory for other accounts, and for the account's other classes.
const (
	classAll   = 6 // all memory of the account
	classCalls = 3 // ext_proc streams: 8,192 at a time with [DefaultMemory]
	classData  = 2 // configuration: subscriptions, resources made for the account, responses on their way to it
)

// Guard protects one port for proxies.
type Guard struct {
	options  Options
	refusals refusals
	held     atomic.Int64 // bytes in use by all peers
	door     *Door
	shedAt   uint64 // the number of garbage collections when Shed last closed a connection; only Shed uses it

	mu       sync.Mutex // guards the fields below
	accounts map[string]*account
	conns    map[*conn]bool
}

// New returns a guard with a door for the port of the proxies.
func New(o Options) *Guard {
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	most := int(o.Memory / ConnectionBytes)
	if o.Connections > 0 {
		most = min(most, o.Connections)
	}
	g := &Guard{
		options: o, refusals: refusals{log: o.Log, lines: untrusted.Limiter[kind]{Each: perKind, All: overall}}, accounts: map[string]*account{}, conns: map[*conn]bool{},
	}
	g.door = newDoor(g, Connection, most, most) // one address may have all: its share of the memory bounds it
	return g
}

// account holds the state that all connections of one identity share. An identity is a name in certificates, or an
// address when there is no certificate.
type account struct {
	key  string
	held [classAll + 1]atomic.Int64 // bytes in use by class

	// Guarded by Guard.mu.
	connections int
	bannedUntil time.Time // the account gets no new connection before
	banLength   time.Duration

	mu         sync.RWMutex   // guards the fields below
	lists      int            // open listings
	all        int            // listings of all upstreams
	calls      map[string]int // listings that name an upstream
	stale      bool           // the last listing has ended, and its upstreams are still in all and calls
	staleSince time.Time
	pauses     map[string]pause // by the breaker's key
}

// lingering is how long the upstreams of a proxy stay valid after its configuration stream has ended. The proxy
// reconnects meanwhile, and its calls continue.
const lingering = time.Minute

// account returns the account of a key, and counts a connection of it.
func (g *Guard) account(key string) *account {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.accounts[key]
	if a == nil {
		g.dropIdleAccountsLocked()
		a = &account{key: key, calls: map[string]int{}, pauses: map[string]pause{}}
		g.accounts[key] = a
	}
	a.connections++
	return a
}

// maxIdleAccounts is how many accounts there may be before those without connections are removed.
const maxIdleAccounts = 1_024

func (g *Guard) dropIdleAccountsLocked() {
	if len(g.accounts) < maxIdleAccounts {
		return
	}
	for key, a := range g.accounts {
		if a.connections == 0 && !time.Now().Before(a.bannedUntil) {
			delete(g.accounts, key)
		}
	}
}

// Bounds on how long an account gets no new connection.
const minBan, maxBan = time.Second, 30 * time.Second

// banAccount refuses new connections of an account for a while. Each ban is twice as long as the one before. The
// account's other connections stay open, because other proxies may have the same address.
func (g *Guard) banAccount(a *account) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if now.Sub(a.bannedUntil) > 2*maxBan {
		a.banLength = 0
	}
	a.banLength = min(max(2*a.banLength, minBan), maxBan)
	a.bannedUntil = now.Add(a.banLength)
}

// isBannedKey reports whether there is an account of a key that gets no new connection now.
func (g *Guard) isBannedKey(key string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.accounts[key]
	return a != nil && time.Now().Before(a.bannedUntil)
}

func (g *Guard) isBanned(a *account) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Now().Before(a.bannedUntil)
}

// leave removes a connection from an account.
func (g *Guard) leave(a *account) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a.connections--
}

// take adds n bytes to a class of an account, and reports whether all bounds allow it.
func (g *Guard) take(a *account, class int, n int64) bool {
	eighth := g.options.Memory / 8
	ok := g.held.Add(n) <= g.options.Memory
	ok = a.held[classAll].Add(n) <= classAll*eighth && ok
	if class != classAll {
		ok = a.held[class].Add(n) <= int64(class)*eighth && ok
	}
	return ok
}
