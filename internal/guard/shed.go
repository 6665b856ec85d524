package guard

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// shedEvery is how often Shed checks whether memory is short.
	shedEvery = 250 * time.Millisecond
	// shedShare is the largest share of GOMEMLIMIT that may be in use, in percent. Above it the garbage collector
	// would soon run all the time.
	shedShare = 70
)

// Shed closes connections while memory is short. It closes one for each garbage collection, first the one that has
// received the most bytes in the last seconds. It bounds memory that is counted nowhere else: the parts of messages
// that are still incomplete. It returns when ctx ends, and at once if the process has no GOMEMLIMIT.
func (g *Guard) Shed(ctx context.Context) {
	limit := debug.SetMemoryLimit(-1)
	if limit == math.MaxInt64 {
		return
	}
	tick := time.NewTicker(shedEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			used, collections := memoryInUse()
			g.shed(used, limit/100*shedShare, collections)
		}
	}
}

// memoryInUse returns the size of the heap after the last garbage collection with the stacks of goroutines, and how
// many collections there have been.
func memoryInUse() (bytes int64, collections uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() + s[1].Value.Uint64()), s[2].Value.Uint64()
}

// minReceived is how many bytes must have come over a connection in the last seconds for Shed to close it. Fewer cannot
// be the reason for the shortage.
const minReceived = 1 << 20

// shed closes the connection that has received the most in the last seconds, if more than most bytes are in use. It
// then does nothing before the next collection, because the connection's memory counts as used until then.
func (g *Guard) shed(used, most int64, collections uint64) {
	var worst *conn
	var sent int64
	g.mu.Lock()
	for c := range g.conns {
		n := c.received.Load()
		c.received.Add(-n / 8) // a byte counts half after about 1.3 seconds
		if n >= minReceived && n > sent {
			worst, sent = c, n
		}
	}
	g.mu.Unlock()
	if used <= most || worst == nil || collections == g.shedAt {
		return
	}
	g.shedAt = collections
	g.refuse(kind{worst.peer.account.key, Connection, Memory},
		fmt.Sprintf("%d MiB are in use, of at most %d; this connection has sent the most of late, %d KiB, and is closed", used>>20, most>>20, sent>>10))
	_ = worst.drop() // an error concerns only the peer
}
