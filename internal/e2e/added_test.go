package e2e

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// TestUpstreamsAddedUnderLoad adds upstreams that are called all the time, even before they exist. Before an upstream's
// first response the proxy answers that it does not know the upstream, and from then on every call gets its response. Calls
// of other upstreams are not disturbed.
func TestUpstreamsAddedUnderLoad(t *testing.T) {
	const added = 12
	eachPath(t, func(t *testing.T, dataPath string) {
		ip := ownIP(t)
		u := newUpstream(t, ip)
		m := newMesh(t, ip, service("payments", u.address)+policyFor("payments", dataPath))
		m.passes(t, "payments")
		others := m.load(t, 2)
		var wg sync.WaitGroup
		for i := range added {
			host := fmt.Sprintf("added-%d", i)
			m.write(t, host+".yaml", service(host, u.address)+policyFor(host, dataPath))
			c := newCaller(t, m.egress)
			wg.Go(func() { c.callNew(t, host, 200) })
		}
		wg.Wait()
		others.more(t, 10)
		others.clean(t)
	})
}

// callNew calls a host until the proxy knows it, and then until it has answered a number of calls.
func (c *caller) callNew(t *testing.T, host string, calls int) {
	answered := 0
	for deadline := time.Now().Add(patience); answered < calls; {
		r, err := c.get(t.Context(), host, "/")
		switch {
		case err == nil && r.status == http.StatusOK:
			answered++
		case err == nil && r.status == http.StatusNotFound && answered == 0 && time.Now().Before(deadline):
		default:
			t.Errorf("GET %s after %d answers: %d %q, %v", host, answered, r.status, r.body, err)
			return
		}
	}
}

// TestCallersThatLeaveInMidStream has many callers leave in the middle of a response, again and again. That is not the
// service's fault: the breaker stays closed, no permit is lost, and other callers get their responses.
func TestCallersThatLeaveInMidStream(t *testing.T) {
	eachPath(t, func(t *testing.T, dataPath string) {
		ip := ownIP(t)
		u := newUpstream(t, ip)
		u.behave(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				return
			}
			for r.Context().Err() == nil { // the response never ends by itself
				if _, err := w.Write(make([]byte, 16<<10)); err != nil {
					return
				}
			}
		})
		m := newMesh(t, ip, service("payments", u.address)+policyFor("payments", dataPath,
			"breaker: {consecutiveFailures: 2, failureRateThreshold: 10%, minimumNumberOfCalls: 5, waitDurationInOpenState: 1h}"))
		m.passes(t, "payments")
		others := m.load(t, 1)
		var wg sync.WaitGroup
		for i := range 8 {
			c := newCaller(t, m.egress)
			wg.Go(func() {
				for j := range 10 {
					c.leaveAfter(t, int64(1+i*j*4096))
				}
			})
		}
		wg.Wait()
		others.more(t, 10)
		others.clean(t)
		eventually(t, "no call is in flight", func() error {
			if n := u.inFlight.Load(); n != 0 {
				return fmt.Errorf("%d calls are in flight", n)
			}
			return nil
		})
		holds(t, "the breaker is closed without a failure, even when the last log entries have arrived", 500*time.Millisecond, func() error {
			if got := m.breaker(t, "payments"); got.State != "closed" || got.Counts.Failures != 0 {
				return fmt.Errorf("the breaker is %+v", got)
			}
			return nil
		})
	})
}

// leaveAfter makes a call, reads a number of bytes of the response, and closes the connection.
func (c *caller) leaveAfter(t *testing.T, after int64) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.egress+"/endless", nil)
	if err != nil {
		t.Error(err)
		return
	}
	req.Host = "payments"
	resp, err := c.client.Do(req)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, after); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("got %d, %v, want a response that does not end", resp.StatusCode, err)
	}
}
