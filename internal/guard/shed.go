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
	// shedEvery is how often it is looked whether memory is short.
	shedEvery = 250 * time.Millisecond
	// shedShare is how much of GOMEMLIMIT may live, in percent. Above it the garbage collector
	// would soon run all the time.
	shedShare = 70
)

// Shed closes connections while memory is short, one for each garbage collection, and that first
// which has sent the most of late. It is for what is counted nowhere else: parts of messages that
// have not come to their end. It returns when ctx is over, and at once where the process has no
// GOMEMLIMIT.
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
			lives, collections := living()
			g.shed(lives, limit/100*shedShare, collections)
		}
	}
}

// living is what the last garbage collection left, with the stacks of goroutines, and how many
// collections there have been.
func living() (bytes int64, collections uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() + s[1].Value.Uint64()), s[2].Value.Uint64()
}

// least is how much a connection must have sent of late to be the one that is closed: less cannot
// be the reason.
const least = 1 << 20

// shed closes the connection that has sent the most of late, if more lives than may. After that it
// waits for another collection: what the connection had counts as living until then.
func (g *Guard) shed(lives, most int64, collections uint64) {
	var worst *conn
	var sent int64
	g.mu.Lock()
	for c := range g.conns {
		n := c.received.Load()
		c.received.Add(-n / 8) // it counts half as much after about a second
		if n >= least && n > sent {
			worst, sent = c, n
		}
	}
	g.mu.Unlock()
	if lives <= most || worst == nil || collections == g.shedAt {
		return
	}
	g.shedAt = collections
	g.refuse(kind{worst.peer.account.key, Connection, Memory},
		fmt.Sprintf("%d MiB are in use, of at most %d; this connection has sent the most of late, %d KiB, and is closed", lives>>20, most>>20, sent>>10))
	_ = worst.drop() // it is the peer that is to find out
}
