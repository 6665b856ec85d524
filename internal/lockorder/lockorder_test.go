package lockorder

import (
	"sync"
	"testing"
)

// message returns what f panics with; "" when it does not.
func message(f func()) (text string) {
	defer func() {
		if r := recover(); r != nil {
			text = r.(string)
		}
	}()
	f()
	return ""
}

// TestWrongOrderPanics, where the order is checked.
func TestWrongOrderPanics(t *testing.T) {
	var (
		publisher   Mutex[DiscoveryPublisher]
		stream      Mutex[DiscoveryStream]
		leaf, other Mutex[DiscoveryLeaf]
		unknown     Mutex[struct{}]
	)
	const hint = "; a goroutine takes locks in the order of internal/lockorder/order.go"
	for name, tt := range map[string]struct {
		locks []sync.Locker
		want  string
	}{
		"one":             {[]sync.Locker{&stream}, ""},
		"in order":        {[]sync.Locker{&publisher, &stream, &leaf}, ""},
		"with a gap":      {[]sync.Locker{&publisher, &leaf}, ""},
		"the wrong order": {[]sync.Locker{&leaf, &stream}, "lockorder: DiscoveryStream is taken while DiscoveryLeaf is held" + hint},
		"the third wrong": {[]sync.Locker{&stream, &leaf, &publisher}, "lockorder: DiscoveryPublisher is taken while DiscoveryStream is held" + hint},
		"the same place":  {[]sync.Locker{&leaf, &other}, "lockorder: DiscoveryLeaf is taken while DiscoveryLeaf is held" + hint},
		"no place":        {[]sync.Locker{&unknown}, "lockorder: struct {} is not among the first 64 places of the order"},
	} {
		t.Run(name, func(t *testing.T) {
			locked := 0
			got := message(func() {
				for _, l := range tt.locks {
					l.Lock()
					locked++
				}
			})
			for _, l := range tt.locks[:locked] {
				l.Unlock()
			}
			want := tt.want
			if !checked {
				want = ""
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestOrder: every place is in the order once, and the order is short enough for what a goroutine holds.
func TestOrder(t *testing.T) {
	if len(order) > maxPlaces {
		t.Errorf("there are %d places, want %d at most", len(order), maxPlaces)
	}
	for at, place := range order {
		if got := index(place); got != at {
			t.Errorf("%s is at %d and at %d", name(at), got, at)
		}
	}
	if got := name(index(DiscoveryStream{})); got != "DiscoveryStream" {
		t.Errorf("a place is called %q, want DiscoveryStream", got)
	}
}

// TestGoroutinesHoldTheirOwn: a lock binds only the goroutine that holds it, and only until it is unlocked.
func TestGoroutinesHoldTheirOwn(t *testing.T) {
	var stream Mutex[DiscoveryStream]
	var leaf Mutex[DiscoveryLeaf]
	both := func() {
		stream.Lock()
		leaf.Lock()
		stream.Unlock()
		leaf.Unlock()
	}
	leaf.Lock()
	first := make(chan string)
	go func() {
		first <- message(func() {
			stream.Lock()
			defer stream.Unlock()
		})
	}()
	if got := <-first; got != "" {
		t.Errorf("another goroutine: %s", got)
	}
	leaf.Unlock()
	var running sync.WaitGroup
	for range 100 {
		running.Go(func() {
			if got := message(both); got != "" {
				t.Errorf("after it has unlocked: %s", got)
			}
		})
	}
	running.Wait()
}

// TestAnotherGoroutineDoesNotUnlock, where the order is checked: it would be left unsaid which one holds the lock.
func TestAnotherGoroutineDoesNotUnlock(t *testing.T) {
	var stream Mutex[DiscoveryStream]
	stream.Lock()
	other := make(chan string)
	go func() { other <- message(stream.Unlock) }()
	got, want := <-other, ""
	if checked {
		stream.Unlock()
		want = "lockorder: DiscoveryStream is unlocked by a goroutine that does not hold it"
	}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
