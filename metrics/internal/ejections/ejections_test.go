package ejections

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"breakwater.dev/outlier"
)

// judged are n upstreams.
func judged(n int) []outlier.Status {
	all := make([]outlier.Status, n)
	for i := range all {
		all[i] = outlier.Status{
			Upstream: fmt.Sprintf("service-%d", i), Endpoints: 3, Ejected: make([]netip.AddrPort, i%3),
			Ejections: map[outlier.Rule]uint64{outlier.SuccessRate: 0, outlier.Consecutive5xxErrors: uint64(i)}, Detected: 7,
		}
	}
	return all
}

// TestOrder: families are in order of their names, and without upstreams there are none.
func TestOrder(t *testing.T) {
	if !slices.IsSortedFunc(families, func(a, b family) int { return strings.Compare(a.name, b.name) }) {
		t.Errorf("families are not in order: %v", families)
	}
	var out bytes.Buffer
	if err := Write(&out, nil); err != nil || out.Len() > 0 {
		t.Errorf("without upstreams: %q, %v", out.String(), err)
	}
}

// leaving is a client that leaves after some writes.
type leaving struct{ writes int }

var errLeft = errors.New("broken pipe")

func (l *leaving) Write(b []byte) (int, error) {
	if l.writes--; l.writes < 0 {
		return 0, errLeft
	}
	return len(b), nil
}

func TestClientLeaves(t *testing.T) {
	statuses := judged(3000)
	for writes := range 4 {
		if err := Write(&leaving{writes}, statuses); !errors.Is(err, errLeft) {
			t.Errorf("left after %d pieces: %v, want %v", writes, err, errLeft)
		}
	}
}

// TestWriteAllocates next to nothing beyond the space of one piece, however many upstreams there are.
func TestWriteAllocates(t *testing.T) {
	const n, most = 10_000, 20
	statuses := judged(n)
	got := testing.AllocsPerRun(10, func() {
		if err := Write(io.Discard, statuses); err != nil {
			t.Fatal(err)
		}
	})
	if got > most {
		t.Errorf("%v allocations for %d upstreams; must be at most %d", got, n, most)
	}
}
