package broadcast

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// taken returns the lines that a reader takes, as "a b +2".
func taken(r *Reader) string {
	lines, lost := r.Take()
	words := make([]string, 0, len(lines)+1)
	for _, l := range lines {
		words = append(words, string(l))
	}
	if lost > 0 {
		words = append(words, fmt.Sprintf("+%d", lost))
	}
	return strings.Join(words, " ")
}

func join(t *testing.T, h *Hub) *Reader {
	t.Helper()
	r, err := h.Join()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestReaders(t *testing.T) {
	h := NewHub(2, 3)
	send := func(words ...string) {
		for _, w := range words {
			h.Send([]byte(w))
		}
	}
	expect := func(r *Reader, want string) {
		t.Helper()
		if got := taken(r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	send("before")
	if h.Followed() {
		t.Error("followed by nobody")
	}
	slow, quick := join(t, h), join(t, h)
	if !h.Followed() {
		t.Error("not followed by two")
	}
	if _, err := h.Join(); !errors.Is(err, ErrFull) {
		t.Errorf("a third: %v, want %v", err, ErrFull)
	}
	send("a", "b")
	expect(quick, "a b")
	expect(quick, "")
	send("c", "d", "e")
	expect(quick, "c d e")
	expect(slow, "a b c +2") // and nothing after the gap
	send("f")
	expect(slow, "f")
	quick.Leave()
	quick.Leave()
	send("g")
	expect(quick, "f") // and nothing after it has left
	third := join(t, h)
	send("h")
	expect(third, "h")
	expect(slow, "g h")
}

func TestWake(t *testing.T) {
	h := NewHub(1, 1)
	r := join(t, h)
	select {
	case <-r.Wake():
		t.Error("woken by nothing")
	default:
	}
	h.Send(nil)
	h.Send(nil)
	<-r.Wake()
	select {
	case <-r.Wake():
		t.Error("woken twice for what one look takes")
	default:
	}
}

func TestClose(t *testing.T) {
	h := NewHub(1, 1)
	r := join(t, h)
	h.Close()
	h.Close()
	<-h.Done()
	if _, err := h.Join(); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v, want %v", err, ErrClosed)
	}
	r.Leave()
}

// TestNothingIsForgotten: whatever runs at once, each reader has every line, or it
// is counted as lost.
func TestNothingIsForgotten(t *testing.T) {
	const senders, each, readers = 3, 2000, 4
	h := NewHub(readers, 16)
	var all, sending sync.WaitGroup
	for range readers {
		r := join(t, h)
		all.Go(func() {
			defer r.Leave()
			got := 0
			for done := false; !done; {
				select {
				case <-r.Wake():
				case <-h.Done():
					done = true
				}
				lines, lost := r.Take()
				got += len(lines) + int(lost)
			}
			if got != senders*each {
				t.Errorf("a reader has heard of %d lines, want %d", got, senders*each)
			}
		})
	}
	for range senders {
		sending.Go(func() {
			for range each {
				h.Send([]byte("x"))
			}
		})
	}
	sending.Wait()
	h.Close()
	all.Wait()
}
