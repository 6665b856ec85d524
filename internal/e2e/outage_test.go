package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// load is a number of callers that make calls all the time, and count the calls without a good response.
type load struct {
	stop   context.CancelFunc
	wg     sync.WaitGroup
	calls  atomic.Int64
	errors atomic.Int64
	first  atomic.Value // the first error, a string
}

// load starts callers of payments. A good response has the status 200.
func (m *mesh) load(t *testing.T, callers int) *load {
	t.Helper()
	return m.loadThatGets(t, callers, func(r reply) bool { return r.status == http.StatusOK })
}

// loadThatGets starts callers of payments. ok reports whether a response is good.
func (m *mesh) loadThatGets(t *testing.T, callers int, ok func(reply) bool) *load {
	t.Helper()
	return m.loadOf(t, "payments", callers, ok)
}

// loadOf is [mesh.loadThatGets] for any host.
func (m *mesh) loadOf(t *testing.T, host string, callers int, ok func(reply) bool) *load {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &load{stop: stop}
	for range callers {
		l.wg.Go(func() {
			for ctx.Err() == nil {
				r, err := m.get(ctx, host, "/")
				if ctx.Err() != nil {
					return
				}
				l.calls.Add(1)
				if err != nil || !ok(r) {
					l.errors.Add(1)
					l.first.CompareAndSwap(nil, fmt.Sprintf("%d %q %v", r.status, r.body, err))
				}
			}
		})
	}
	t.Cleanup(func() { l.stop(); l.wg.Wait() })
	return l
}

// more waits until n more calls were made.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	grows(t, fmt.Sprintf("%d more calls", n), l.calls.Load()+n, l.calls.Load)
}

// ends waits until no call is on its way.
func (l *load) ends() {
	l.stop()
	l.wg.Wait()
}

// clean ends the load, and fails the test if there was an error.
func (l *load) clean(t *testing.T) {
	t.Helper()
	l.ends()
	l.atMost(t, 0)
}

// atMost fails the test if there were more errors.
func (l *load) atMost(t *testing.T, most int) {
	t.Helper()
	if n := l.errors.Load(); n > int64(most) {
		t.Errorf("%d of %d calls failed, the first with %v", n, l.calls.Load(), l.first.Load())
	}
}

// TestControlPlaneKilledUnderLoad kills the control plane under load, and starts it again. No call fails, and the proxy gets no
// resource again that it already has.
func TestControlPlaneKilledUnderLoad(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments"))
	l := m.load(t, 8)
	l.more(t, 500)
	m.control.kill()
	l.more(t, 500)

	m.startControl(t)
	eventually(t, "the new control plane decides on calls", func() error {
		if n := m.breaker(t, "payments").Counts.Successes; n < 100 {
			return fmt.Errorf("%d calls are counted", n)
		}
		return nil
	})
	l.clean(t)
	// The proxy reports its resources when it connects, and they are all current.
	pushes := m.pushes(t)
	if pushes > 0 {
		t.Errorf("the new control plane sent %v responses to a proxy that has all resources", pushes)
	}
	holds(t, "a proxy that has all resources gets none", 2*time.Second, func() error {
		if now := m.pushes(t); now != pushes {
			return fmt.Errorf("the number of responses went from %v to %v", pushes, now)
		}
		return nil
	})
	if got := m.metric(t, "breakwater_xds_nodes"); got != 1 {
		t.Errorf("breakwater_xds_nodes = %v, want 1", got)
	}
}

// TestControlPlaneHangs stops the process without ending it, so that its connections stay and it does not answer. No call fails.
func TestControlPlaneHangs(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments"))
	l := m.load(t, 8)
	l.more(t, 200)
	m.control.signal(t, syscall.SIGSTOP)
	l.more(t, 50)
	m.control.signal(t, syscall.SIGCONT)
	l.more(t, 200)
	l.clean(t)
}

// TestShutdownDrains shows that a shutdown waits for a request in flight.
func TestShutdownDrains(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments"))
	g := turnstile{release: make(chan int)}
	u.behave(g.handle)
	got := make(chan reply, 1)
	go func() {
		r, err := m.get(t.Context(), "payments", "/")
		if err != nil {
			t.Error(err)
		}
		got <- r
	}()
	eventually(t, "a request is in flight", func() error {
		if u.inFlight.Load() == 0 {
			return errors.New("there is none")
		}
		return nil
	})
	m.control.signal(t, syscall.SIGTERM)
	eventually(t, "the log says that the control plane waits", func() error {
		if !strings.Contains(m.control.output(), "waiting for requests under way") {
			return errors.New(tail(m.control.output(), 3))
		}
		return nil
	})
	g.release <- http.StatusOK
	if r := <-got; r.status != http.StatusOK {
		t.Errorf("the request in flight got %+v", r)
	}
	if code := m.control.ends(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	u.behave(answer(http.StatusOK))
	m.must(t, "payments", http.StatusOK)
}

// TestShutdownGivesUp shows that a shutdown does not wait forever for a request that does not end.
func TestShutdownGivesUp(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := prepareMesh(t, ip, service("payments", u.address)+guard("payments", "timeout: 0s"))
	m.startControl(t, "--drain-timeout", "300ms")
	m.startEnvoy(t)
	u.behave(hang)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	go m.get(ctx, "payments", "/")
	eventually(t, "a request is in flight", func() error {
		if u.inFlight.Load() == 0 {
			return errors.New("there is none")
		}
		return nil
	})
	if code := m.terminate(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
