// Package expect notices when many proxies have received a change.
//
// In: the resources that each proxy receives; the marks of a change in them.
// Out: when the last proxy had all of it.
// Called by: the simulated proxies; the benchmark, which says what to expect.
// Never: trusts a server: only received bytes count.
// Concurrency: safe for concurrent use, after Begin.
package expect

import (
	"bytes"
	"sync/atomic"
	"time"

	"breakwater.dev/bench/fleet/internal/xdswire"
)

// Event is a resource that a proxy has just received, or lost.
type Event struct {
	TypeURL string
	Name    []byte
	Body    []byte // nil: the resource is gone
}

// Part is one thing that a proxy must receive.
type Part func(Event) bool

// Has is a resource that has a marker in its bytes. The name of a virtual host is the part after the slash, and an empty name
// stands for every resource of the type.
func Has(typeURL, name string, marker []byte) Part {
	return func(e Event) bool {
		return e.Body != nil && e.TypeURL == typeURL && e.named(name) && bytes.Contains(e.Body, marker)
	}
}

// Lacks is a resource that has no marker in its bytes.
func Lacks(typeURL, name string, marker []byte) Part {
	return func(e Event) bool {
		return e.Body != nil && e.TypeURL == typeURL && e.named(name) && !bytes.Contains(e.Body, marker)
	}
}

// Gone is a resource that the proxy has lost.
func Gone(typeURL, name string) Part {
	return func(e Event) bool { return e.Body == nil && e.TypeURL == typeURL && e.named(name) }
}

// Either is any one of several parts.
func Either(parts ...Part) Part {
	return func(e Event) bool {
		for _, p := range parts {
			if p(e) {
				return true
			}
		}
		return false
	}
}

func (e Event) named(name string) bool {
	if name == "" {
		return true
	}
	got := e.Name
	if e.TypeURL == xdswire.VirtualHost {
		got = got[bytes.LastIndexByte(got, '/')+1:]
	}
	return string(got) == name
}

// Change is a change that proxies are to receive. Begin begins it, and its fields must not change afterwards.
type Change struct {
	// Parts are all needed.
	Parts []Part
	// Keys are the keys of runtime layers that a proxy must have, or with Absent must not have.
	Keys   []string
	Absent bool
	// Whole is the number of upstreams that proxy i must have in full: clusters, endpoints, routes, and its runtime layers;
	// nil: any number.
	Whole func(i int) int
	// Wants reports whether the change concerns proxy i, and returns the keys by which it does; nil: it concerns all proxies, by all of Keys.
	Wants func(i int) (bool, []string)

	progress  []atomic.Uint32 // by proxy: the bits of the parts that it has
	remaining atomic.Int64
	last      atomic.Int64 // when the last proxy so far had all, in Unix nanoseconds
	done      chan struct{}
}

// Again returns the same change, for other proxies.
func (c *Change) Again() *Change {
	return &Change{Parts: c.Parts, Keys: c.Keys, Absent: c.Absent, Whole: c.Whole, Wants: c.Wants}
}

const (
	keysBit  = 1 << 31
	wholeBit = 1 << 30
)

// Begin begins the change for a number of proxies.
func (c *Change) Begin(proxies int) {
	c.progress, c.done = make([]atomic.Uint32, proxies), make(chan struct{})
	concerned := 0
	for i := range proxies {
		if c.Wants == nil {
			concerned++
		} else if wants, _ := c.Wants(i); wants {
			concerned++
		} else {
			c.progress[i].Store(c.all())
		}
	}
	c.remaining.Store(int64(concerned))
	if concerned == 0 {
		close(c.done)
	}
}

// keys returns the keys that concern proxy i.
func (c *Change) keys(i int) []string {
	if c.Wants == nil {
		return c.Keys
	}
	_, keys := c.Wants(i)
	return keys
}

// all has the bit of each part.
func (c *Change) all() uint32 {
	bits := uint32(1)<<len(c.Parts) - 1
	if len(c.Keys) > 0 {
		bits |= keysBit
	}
	if c.Whole != nil {
		bits |= wholeBit
	}
	return bits
}

// Happened notes an event of proxy i.
func (c *Change) Happened(i int, e Event) {
	for n, part := range c.Parts {
		if bit := uint32(1) << n; c.lacks(i, bit) && part(e) {
			c.mark(i, bit)
		}
	}
}

// Holds notes the keys in all runtime layers of proxy i, which has tells.
func (c *Change) Holds(i int, has func(key string) bool) {
	if !c.lacks(i, keysBit) {
		return
	}
	for _, key := range c.keys(i) {
		if has(key) == c.Absent {
			return
		}
	}
	c.mark(i, keysBit)
}

// NeedsWhole returns how many upstreams proxy i needs in full, and whether it may lack one.
func (c *Change) NeedsWhole(i int) (upstreams int, needed bool) {
	if !c.lacks(i, wholeBit) {
		return 0, false
	}
	return c.Whole(i), true
}

// IsWhole notes that proxy i has as many upstreams as it needs.
func (c *Change) IsWhole(i int) { c.mark(i, wholeBit) }

// mark notes that proxy i has a part.
func (c *Change) mark(i int, bit uint32) {
	before := c.progress[i].Or(bit)
	if all := c.all(); before == all || before|bit != all {
		return
	}
	now := time.Now().UnixNano()
	for last := c.last.Load(); last < now && !c.last.CompareAndSwap(last, now); last = c.last.Load() {
	}
	if c.remaining.Add(-1) == 0 {
		close(c.done)
	}
}

// lacks reports whether proxy i needs a part that it does not have.
func (c *Change) lacks(i int, bit uint32) bool {
	return c.all()&bit != 0 && c.progress[i].Load()&bit == 0
}

// Done is closed when all proxies have all parts.
func (c *Change) Done() <-chan struct{} { return c.done }

// Last returns when the last proxy had all parts. It is valid when Done is closed.
func (c *Change) Last() time.Time { return time.Unix(0, c.last.Load()) }

// Remaining returns how many proxies lack a part.
func (c *Change) Remaining() int { return int(c.remaining.Load()) }
