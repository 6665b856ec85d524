package guard

import (
	"fmt"
	"net"
	"runtime"
	"testing"
)

// TestShed closes whoever has sent the most of late, and only while memory is short.
func TestShed(t *testing.T) {
	g, _ := newGuard(t)
	var all []*conn
	for i, sent := range []int64{3 << 20, 5 << 20, 1 << 10} {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { _ = theirs.Close() })
		c := &conn{Conn: ours, raw: ours, peer: meetAs(t, g, fmt.Sprint("w", i))}
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
		t.Fatal("one was closed without need")
	}
	g.shed(101, 100, 7)
	if g.conns[all[1]] || left() != 2 {
		t.Error("the one that sent the most is not the one that was closed")
	}
	for range 2 {
		g.shed(101, 100, 7)
	}
	if left() != 2 {
		t.Error("another one was closed before the garbage of the first was collected")
	}
	for range 2 {
		g.shed(101, 100, 8)
	}
	if g.conns[all[0]] || left() != 1 {
		t.Errorf("after a collection %d are left; want the quiet one", left())
	}
	for range 30 {
		g.shed(101, 100, 9)
	}
	if left() != 1 || !g.conns[all[2]] {
		t.Errorf("%d are left; want the quiet one", left())
	}
	if g.refused(Connection, Memory) != 2 {
		t.Errorf("refused: %v", g.Refused())
	}
}

func TestLivingCountsCollections(t *testing.T) {
	_, before := living()
	runtime.GC()
	bytes, after := living()
	if bytes <= 0 || after <= before {
		t.Errorf("%d bytes live; %d collections, and %d before", bytes, after, before)
	}
}
