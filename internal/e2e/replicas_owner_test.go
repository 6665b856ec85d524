package e2e

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"breakwater.dev/internal/redistest"
)

// probed is a service in which only probes arrive, until as many of them have ended as close the breaker.
type probed struct {
	inFlight, most, ended atomic.Int64
	first                 atomic.Int64 // when the first probe came, in nanoseconds; 0: none has
	slow                  atomic.Bool  // probes take long, so that they are in flight while a breaker moves
}

func (p *probed) handle(w http.ResponseWriter, r *http.Request) {
	p.first.CompareAndSwap(0, time.Now().UnixNano())
	now := p.inFlight.Add(1)
	for most := p.most.Load(); p.ended.Load() < needed && now > most && !p.most.CompareAndSwap(most, now); most = p.most.Load() {
	}
	takes := 100 * time.Millisecond
	if p.slow.Load() {
		takes = 3500 * time.Millisecond
	}
	late(takes)(w, r)
	p.inFlight.Add(-1)
	p.ended.Add(1)
}

// slowly has the probes that come from now on take long, and waits until all permits are out.
func (p *probed) slowly(t *testing.T) {
	t.Helper()
	p.slow.Store(true)
	eventually(t, "all permits are out", func() error {
		if n := p.inFlight.Load(); n != permits {
			return fmt.Errorf("%d probes are in flight", n)
		}
		return nil
	})
}

// departing is a way in which the owner of breakers goes away, and comes back.
type departing struct {
	leave, back func(t *testing.T, w *sharing, owner *replica)
	exact       bool // the owner hands over its counts
}

var (
	killOwner = departing{
		leave: func(_ *testing.T, _ *sharing, owner *replica) { owner.control.kill() },
		back:  startAgain,
	}
	freezeOwner = departing{
		leave: func(t *testing.T, _ *sharing, owner *replica) { owner.control.signal(t, syscall.SIGSTOP) },
		back:  func(t *testing.T, _ *sharing, owner *replica) { owner.control.signal(t, syscall.SIGCONT) },
	}
	stopOwner = departing{
		leave: func(t *testing.T, _ *sharing, owner *replica) {
			if code := owner.terminate(t); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
		},
		back: startAgain, exact: true,
	}
)

func startAgain(_ *testing.T, w *sharing, owner *replica) { owner.startControl(w.root, owner.flags...) }

// loseOwner returns a story in which the owner of breakers goes away while they are in each state.
func loseOwner(d departing) func(*testing.T, redistest.Kind) {
	return func(t *testing.T, store redistest.Kind) {
		w := newSharing(t, redistest.Start(t, store), nil, byRate)
		for _, phase := range []struct {
			name   string
			during func(t *testing.T, subjects []*subject, depart func(), d *departing)
		}{
			{"half-open", departInHalfOpen}, {"open", departInOpen}, {"forced open", departWhileForced}, {"closed", departInClosed},
		} {
			t.Run(phase.name, func(t *testing.T) {
				owner, subjects := w.pick(t)
				back := sync.OnceFunc(func() {
					if owner.away {
						owner.away = false
						d.back(t, w, owner)
					}
				})
				defer back() // also where the phase fails, since others follow
				phase.during(t, subjects, func() {
					owner.away = true
					d.leave(t, w, owner)
					w.agree(t)
				}, &d)
				back()
				w.agree(t)
				for _, s := range subjects {
					s.everywhere(t, "closed")
					s.pass(t)
				}
			})
		}
	}
}

// trip opens the breaker by failures of all proxies, and has probes arrive in a service that is well.
func (s *subject) trip(t *testing.T) *probed {
	t.Helper()
	s.fails(t, tripsAfter)
	s.everywhere(t, "open")
	s.reject(t)
	p := &probed{}
	s.upstream.behave(p.handle)
	return p
}

// heals waits until probes have closed the breaker, and fails the test if there were too many at once.
func (s *subject) heals(t *testing.T, p *probed) {
	t.Helper()
	grows(t, "probes of "+s.host, needed, p.ended.Load)
	s.everywhere(t, "closed")
	if n := p.most.Load(); n > permits {
		t.Errorf("%s: %d probes were in flight at once, want at most %d", s.host, n, permits)
	}
}

// departInHalfOpen has the owner go away while probes are in flight.
func departInHalfOpen(t *testing.T, subjects []*subject, depart func(), _ *departing) {
	probes, crowds := make([]*probed, len(subjects)), make([]crowd, len(subjects))
	for i, s := range subjects {
		probes[i] = s.trip(t)
		crowds[i] = s.crowd(t)
	}
	for i, s := range subjects {
		grows(t, "probes of "+s.host, 5, probes[i].ended.Load)
		probes[i].slowly(t)
	}
	depart()
	for _, p := range probes {
		p.slow.Store(false)
	}
	for i, s := range subjects {
		s.heals(t, probes[i])
		crowds[i].clean(t)
	}
}

// departInOpen has the owner go away in the wait. The wait is not shorter for it.
func departInOpen(t *testing.T, subjects []*subject, depart func(), _ *departing) {
	probes, crowds, tripped := make([]*probed, len(subjects)), make([]crowd, len(subjects)), make([]time.Time, len(subjects))
	for i, s := range subjects {
		probes[i] = s.trip(t)
		tripped[i] = s.live()[0].history(t, s.host).Trip.At
		crowds[i] = s.crowd(t)
	}
	depart()
	for i, s := range subjects {
		s.heals(t, probes[i])
		crowds[i].clean(t)
		if waited := time.Unix(0, probes[i].first.Load()).Sub(tripped[i]); waited < openFor-50*time.Millisecond {
			t.Errorf("%s: the first probe came %s after the trip, want %s or more", s.host, waited, openFor)
		}
	}
}

// departWhileForced has the owner go away while a breaker is held open by hand.
func departWhileForced(t *testing.T, subjects []*subject, depart func(), _ *departing) {
	crowds, reached := make([]crowd, len(subjects)), make([]int64, len(subjects))
	for i, s := range subjects {
		s.upstream.behave(answer(http.StatusOK))
		s.live()[i].byHand(t, "force", s.host, "open", "--for", "1h")
		s.reject(t)
		reached[i], crowds[i] = s.upstream.calls.Load(), s.crowd(t)
	}
	depart()
	for i, s := range subjects {
		holds(t, s.host+" is held open", time.Second, func() error { return s.is("open") })
		crowds[i].clean(t)
		if n := s.upstream.calls.Load() - reached[i]; n > 0 {
			t.Errorf("%s: %d calls reached the service of a breaker that is held open", s.host, n)
		}
		s.listed(t, "open", "alice@ops")
		s.live()[i].byHand(t, "reset", s.host)
		s.pass(t)
	}
}

// departInClosed has the owner go away when half of the failures that trip the breaker have been counted.
func departInClosed(t *testing.T, subjects []*subject, depart func(), d *departing) {
	for _, s := range subjects {
		s.fails(t, tripsAfter/2)
		eventually(t, "all replicas know of the failures", func() error {
			want := s.live()[0].breaker(t, s.host).Counts.Failures
			for _, r := range s.live() {
				if n := r.breaker(t, s.host).Counts.Failures; n != want {
					return fmt.Errorf("%s has counted %d, and others %d", r.name, n, want)
				}
			}
			return nil
		})
	}
	depart()
	for _, s := range subjects {
		more := tripsAfter
		if d.exact {
			more = tripsAfter - tripsAfter/2
		}
		s.failsUntilOpen(t, more)
		s.reject(t)
		s.upstream.behave(answer(http.StatusOK))
		s.live()[0].byHand(t, "reset", s.host)
	}
}

// failsUntilOpen makes failing calls until the breaker is open, of which not more than most may be counted.
func (s *subject) failsUntilOpen(t *testing.T, most int) {
	t.Helper()
	for range most {
		s.fails(t, 1)
		if s.live()[0].breaker(t, s.host).State == "open" {
			break
		}
	}
	s.everywhere(t, "open")
}
