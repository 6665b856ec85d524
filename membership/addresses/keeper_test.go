package addresses

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater.dev/instant"
	"breakwater.dev/membership"
)

// town has keepers that reach each other by their addresses, in the simulated time of a bubble.
type town struct {
	t     *testing.T
	began time.Time
	log   *strings.Builder

	mu     sync.Mutex // guards what follows
	all    map[string]*inhabitant
	answer func() ([]netip.Addr, error) // the name server
}

type inhabitant struct {
	*Keeper
	member membership.Member
	cancel context.CancelFunc
	ended  chan struct{}

	mu    sync.Mutex // guards what follows
	view  membership.View
	lease instant.Instant
}

func newTown(t *testing.T) *town {
	t.Helper()
	return &town{t: t, began: time.Now(), log: &strings.Builder{}, all: map[string]*inhabitant{}}
}

func (w *town) now() instant.Instant { return instant.Instant(time.Since(w.began)) }

// Write is for the logs of all keepers.
func (w *town) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(line)
}

func (w *town) says(text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.log.String(), text)
}

func (w *town) send(from *inhabitant) func(to membership.Member, message []byte) {
	return func(to membership.Member, message []byte) {
		go func() {
			w.mu.Lock()
			target := w.all[to.Address]
			w.mu.Unlock()
			if target != nil {
				target.Receive(from.member, message)
			}
		}()
	}
}

func (w *town) lookup(context.Context, string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answer()
}

func (w *town) resolve(answer func() ([]netip.Addr, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}

func (w *town) start(address string, peers Peers) *inhabitant {
	n := 0
	i := &inhabitant{member: membership.Member{ID: fmt.Sprintf("%s#%v", address, time.Since(w.began)), Address: address, Name: address}, ended: make(chan struct{})}
	i.Keeper = NewKeeper(i.member, peers, Options{
		KeeperOptions: membership.KeeperOptions{
			Now: w.now, Log: slog.New(slog.NewTextHandler(w, nil)),
			Known: func() membership.View { return membership.View{} },
			Nonce: func() string { n++; return fmt.Sprint(i.member.ID, n) },
			View:  func(r membership.Result, _ instant.Instant) { i.take(r) },
		},
		Send: w.send(i), Lookup: w.lookup,
	})
	w.mu.Lock()
	w.all[address] = i
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	i.cancel = cancel
	go func() {
		i.Run(ctx)
		close(i.ended)
	}()
	return i
}

func (i *inhabitant) take(r membership.Result) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lease = max(i.lease, r.Lease)
	i.view = r.View
}

func (w *town) stop(i *inhabitant) {
	w.mu.Lock()
	delete(w.all, i.member.Address)
	w.mu.Unlock()
	i.cancel()
	<-i.ended
}

// members fails unless exactly these replicas are members, and have leases.
func (w *town) members(all ...*inhabitant) {
	w.t.Helper()
	synctest.Wait()
	var names []string
	for _, i := range all {
		names = append(names, i.member.Name)
	}
	slices.Sort(names)
	for _, i := range all {
		i.mu.Lock()
		got, lease := i.view.Names(), i.lease
		i.mu.Unlock()
		slices.Sort(got)
		if !slices.Equal(got, names) || lease <= w.now() {
			w.t.Errorf("%s has %v, and a lease for %v more; want %v:\n%s", i.member.Name, got, lease.Sub(w.now()), names, w.log)
		}
	}
}

func (i *inhabitant) leased(now instant.Instant) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.lease > now
}

func ips(all ...string) func() ([]netip.Addr, error) {
	return func() (found []netip.Addr, err error) {
		for _, one := range all {
			found = append(found, netip.MustParseAddr(one))
		}
		return found, nil
	}
}

// TestKeepersOfAList: replicas of a list are members, and the others are without one that leaves, at once. A replica that is not in
// the list is a member, and says so.
func TestKeepersOfAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		list := Peers{List: []string{"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"}}
		a, b, c := w.start("10.0.0.1:1", list), w.start("10.0.0.2:1", list), w.start("10.0.0.3:1", list)
		time.Sleep(6 * time.Second)
		w.members(a, b, c)

		for range 3 { // one of them leads
			a.Leave(t.Context())
			w.members(b, c)
			time.Sleep(time.Second)
			w.stop(a)
			time.Sleep(5 * time.Second)
			a, b, c = b, c, w.start(a.member.Address, list)
			time.Sleep(6 * time.Second)
			w.members(a, b, c)
		}
		d := w.start("10.0.0.4:1", list)
		time.Sleep(10 * time.Second)
		w.members(a, b, c, d)
		if !w.says("this replica does not meet itself at any of 10.0.0.1:1, 10.0.0.2:1, 10.0.0.3:1") {
			t.Errorf("the log does not say that a replica is not in the list:\n%s", w.log)
		}
		for _, i := range []*inhabitant{a, b, c, d} {
			i.Receive(membership.Member{ID: "x", Address: "x"}, []byte("{")) // cannot be read
			w.stop(i)
		}
	})
}

// TestKeepersOfAName: replicas go on for a while when their name server fails, and no longer than that.
func TestKeepersOfAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.resolve(func() ([]netip.Addr, error) { return nil, errors.New("no such host") })
		name := Peers{Name: "breakwater.mesh", Port: "1"}
		a, b, c := w.start("10.0.0.1:1", name), w.start("10.0.0.2:1", name), w.start("10.0.0.3:1", name)
		time.Sleep(10 * time.Second)
		if !w.says("the name of --peers has no addresses") || !w.says("no such host") {
			t.Errorf("the log does not say that the name has no addresses:\n%s", w.log)
		}
		three := ips("10.0.0.1", "10.0.0.2", "fd00::2", "10.0.0.3")
		w.resolve(three)
		time.Sleep(70 * time.Second)
		w.members(a, b, c)

		w.stop(a)
		time.Sleep(10 * time.Second)
		w.members(b, c)
		a = w.start("10.0.0.1:1", name) // it need not watch for a minute
		time.Sleep(10 * time.Second)
		w.stop(b)
		time.Sleep(10 * time.Second)
		w.members(a, c)

		w.resolve(func() ([]netip.Addr, error) { return nil, nil })
		time.Sleep(15 * time.Second)
		w.members(a, c)
		time.Sleep(15 * time.Second)
		if a.leased(w.now()) || c.leased(w.now()) {
			t.Error("replicas have leases when the last answer of the name server is half a minute old")
		}
		w.resolve(three)
		time.Sleep(10 * time.Second)
		w.members(a, c)
		if !w.says("this replica is in touch with no majority") || !w.says("a majority of the replicas is there again") {
			t.Errorf("the log does not say that the majority was lost and is back:\n%s", w.log)
		}
		w.stop(a)
		w.stop(c)
	})
}

func TestFamily(t *testing.T) {
	both, _ := ips("10.0.0.1", "fd00::1", "::ffff:10.0.0.2")()
	four, _ := ips("10.0.0.1", "10.0.0.2")()
	six, _ := ips("fd00::1")()
	tests := []struct {
		name, self  string
		found, want []netip.Addr
	}{
		{"IPv4", "10.0.0.9:1", both, four},
		{"IPv6", "[fd00::9]:1", both, six},
		{"a name", "breakwater-0.mesh:1", both, four},
		{"a name with IPv6 only", "breakwater-0.mesh:1", six, six},
		{"none of its kind", "10.0.0.9:1", six, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := family(tt.found, tt.self); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
