package guard

import (
	"fmt"
	"net"
	"runtime"
	"testing"
)

// TestShed shows that the connection that has received the most in the last seconds is closed, and only while memory is
// short.
func TestShed(t *testing.T) {
	g, _ := newGuard(t)
	var all []*conn
	for i, sent := range []int64{3 << 20, 5 << 20, 1 << 10} {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { _ = theirs.Close() })
		c := &conn{Conn: ours, raw: ours, peer: peerAs(t, g, fmt.Sprint("w", i))}
		c.received.Store(sent)
		g.conns[c] = true
		all = append(all, c)
	}
	left := func() (n int) {
		for _, c := range all {
			if g.conns[c] {
				n++
			}
		}
		return n
	}
	g.shed(99, 100, 7)
	if left() != 3 {
		t.Fatal("a connection was closed though memory is not short")
	}
	g.shed(101, 100, 7)
	if g.conns[all[1]] || left() != 2 {
		t.Error("the closed connection is not the one that received the most")
	}
	for range 2 {
		g.shed(101, 100, 7)
	}
	if left() != 2 {
		t.Error("another connection was closed before the memory of the first was collected")
	}
	for range 2 {
		g.shed(101, 100, 8)
	}
	if g.conns[all[0]] || left() != 1 {
		t.Errorf("after a collection %d connections are left; want the quiet one", left())
	}
	for range 30 {
		g.shed(101, 100, 9)
	}
	if left() != 1 || !g.conns[all[2]] {
		t.Errorf("%d connections are left; want the quiet one", left())
	}
	if g.refused(Connection, Memory) != 2 {
		t.Errorf("refused: %v", g.Refused())
	}
}

func TestMemoryInUse(t *testing.T) {
	_, before := memoryInUse()
	runtime.GC()
	bytes, after := memoryInUse()
	if bytes <= 0 || after <= before {
		t.Errorf("%d bytes in use; %d collections, and %d before", bytes, after, before)
	}
}
