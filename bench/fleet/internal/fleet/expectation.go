package fleet

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

// Expectation is what the proxies are to receive for one change.
type Expectation struct {
	// Parts are all needed.
	Parts []Part
	// Keys are the keys of runtime layers that a proxy must have; with Absent, those that it must not have. Proxy i needs
	// only the ones that it wants by Wants.
	Keys   []string
	Absent bool
	// Whole is how many upstreams proxy i must have in full: clusters, endpoints, routes, and its runtime layers; nil: any
	// number.
	Whole func(i int) int
	// Wants says which proxies are concerned, and by which of Keys; nil: all proxies, by all keys.
	Wants func(i int) (bool, []string)

	progress  []atomic.Uint32
	remaining atomic.Int64
	last      atomic.Int64 // when the last proxy so far had all, in Unix nanoseconds
	done      chan struct{}
}

// Again returns an expectation of the same, for another fleet.
func (e *Expectation) Again() *Expectation {
	return &Expectation{Parts: e.Parts, Keys: e.Keys, Absent: e.Absent, Whole: e.Whole, Wants: e.Wants}
}

const (
	keysBit  = 1 << 31
	wholeBit = 1 << 30
)

// begin prepares the expectation for a number of proxies.
func (e *Expectation) begin(proxies int) {
	e.progress, e.done = make([]atomic.Uint32, proxies), make(chan struct{})
	concerned := 0
	for i := range proxies {
		if e.wants(i) {
			concerned++
		} else {
			e.progress[i].Store(e.all())
		}
	}
	e.remaining.Store(int64(concerned))
	if concerned == 0 {
		close(e.done)
	}
}

func (e *Expectation) wants(i int) bool {
	if e.Wants == nil {
		return true
	}
	wants, _ := e.Wants(i)
	return wants
}

// keys returns the keys that proxy i needs.
func (e *Expectation) keys(i int) []string {
	if e.Wants == nil {
		return e.Keys
	}
	_, keys := e.Wants(i)
	return keys
}

// all has a bit for each part.
func (e *Expectation) all() uint32 {
	bits := uint32(1)<<len(e.Parts) - 1
	if len(e.Keys) > 0 {
		bits |= keysBit
	}
	if e.Whole != nil {
		bits |= wholeBit
	}
	return bits
}

// happened notes an event of proxy i.
func (e *Expectation) happened(i int, event Event) {
	for n, part := range e.Parts {
		if bit := uint32(1) << n; e.progress[i].Load()&bit == 0 && part(event) {
			e.mark(i, bit)
		}
	}
}

// mark notes that proxy i has a part.
func (e *Expectation) mark(i int, bit uint32) {
	before := e.progress[i].Or(bit)
	if all := e.all(); before == all || before|bit != all {
		return
	}
	now := time.Now().UnixNano()
	for last := e.last.Load(); last < now && !e.last.CompareAndSwap(last, now); last = e.last.Load() {
	}
	if e.remaining.Add(-1) == 0 {
		close(e.done)
	}
}

// lacks reports whether proxy i still needs a part.
func (e *Expectation) lacks(i int, bit uint32) bool {
	return e.all()&bit != 0 && e.progress[i].Load()&bit == 0
}

// Done is closed when all proxies have all parts.
func (e *Expectation) Done() <-chan struct{} { return e.done }

// Last returns when the last proxy had all parts. It is valid when Done is closed.
func (e *Expectation) Last() time.Time { return time.Unix(0, e.last.Load()) }

// Remaining returns how many proxies lack a part.
func (e *Expectation) Remaining() int { return int(e.remaining.Load()) }
