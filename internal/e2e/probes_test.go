package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// threeProbes is a breaker that opens at the first failure, and closes after three probes.
const threeProbes = "breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 300ms, " +
	"permittedNumberOfCallsInHalfOpenState: 3, successThreshold: 3}"

// eachPath runs a test in both data paths, in parallel. The test gets the field of the policy.
func eachPath(t *testing.T, test func(t *testing.T, dataPath string)) {
	t.Parallel()
	for _, path := range []string{"Adaptive", "Inline"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			test(t, "dataPath: "+path)
		})
	}
}

// toHalfOpen makes one failed call, which opens the breaker, and waits until the breaker is half-open.
func (m *mesh) toHalfOpen(t *testing.T, u *upstream, name string) {
	t.Helper()
	u.behave(answer(http.StatusInternalServerError))
	m.must(t, name, http.StatusInternalServerError)
	m.state(t, name, "half_open")
}

// dribble begins a request whose body comes one byte at a time, and never ends.
func dribble(ctx context.Context, egress, host string) error {
	c, err := net.Dial("tcp", egress)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if _, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nhost: %s\r\ncontent-length: 1000000\r\n\r\n", host); err != nil {
		return err
	}
	rejected := make(chan struct{})
	go func() {
		defer close(rejected)
		_, _ = c.Read(make([]byte, 1)) // returns at the response, or at the end of the connection
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-rejected:
			return ctx.Err()
		case <-tick.C:
			_, _ = c.Write([]byte{'x'}) // after an error, the reader returns
		}
	}
}

// TestUploadsHoldNoPermit shows that very slow uploads do not prevent a breaker from closing. The leases of their permits would
// expire only after the policy's timeout.
func TestUploadsHoldNoPermit(t *testing.T) {
	eachPath(t, func(t *testing.T, dataPath string) {
		ip := ownIP(t)
		u := newUpstream(t, ip)
		m := newMesh(t, ip, service("payments", u.address)+policyFor("payments", dataPath, "timeout: 60s", threeProbes))
		m.toHalfOpen(t, u, "payments")
		u.behave(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			answer(http.StatusOK)(w, r)
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 24 {
			go func() {
				for ctx.Err() == nil && dribble(ctx, m.egress, "payments") == nil { // a rejected caller tries again
				}
			}()
		}
		eventually(t, "the uploads have all permits", func() error {
			if n := m.breaker(t, "payments").Probes; n != 3 {
				return fmt.Errorf("the uploads have %d of 3", n)
			}
			return nil
		})
		eventually(t, "the breaker closes", func() error {
			if m.breaker(t, "payments").State == "closed" {
				return nil
			}
			_, err := m.get(t.Context(), "payments", "/")
			return errors.Join(err, errors.New("the breaker is not closed"))
		})
		if n := m.metric(t, `circuit_breaker_leases_expired_total{route="",service="payments"}`); n != 0 {
			t.Errorf("%v leases expired, want none, because the uploads must give their permits back", n)
		}
		if s := m.breaker(t, "payments"); s.Counts.Failures != 1 {
			t.Errorf("the counts are %+v, want only the failure that opened the breaker", s.Counts)
		}
	})
}

// TestStreamsAreGoodProbes shows that a probe whose response is a stream is a success as soon as its headers have come, and that
// the next probe gets its permit.
func TestStreamsAreGoodProbes(t *testing.T) {
	eachPath(t, func(t *testing.T, dataPath string) {
		ip := ownIP(t)
		u := newUpstream(t, ip)
		m := newMesh(t, ip, service("events", u.address)+policyFor("events", dataPath, "timeout: 0s", threeProbes))
		m.toHalfOpen(t, u, "events")
		u.behave(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("content-type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush() // fails if the caller has left
			<-r.Context().Done()
		})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 3 { // each stream has its headers before the next one begins
			eventually(t, "a probe gets through", func() error {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.egress+"/", nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = "events"
				resp, err := m.client.Do(req)
				if err == nil && resp.StatusCode != http.StatusOK {
					err = errors.Join(fmt.Errorf("status %d", resp.StatusCode), resp.Body.Close())
				}
				return err
			})
		}
		m.state(t, "events", "closed")
		if n := u.inFlight.Load(); n != 3 {
			t.Errorf("%d streams are open, want 3", n)
		}
	})
}

// TestGRPCStreamsAreGoodProbes shows the same for gRPC. There the missing trailers distinguish a stream from a call that is
// about to fail.
func TestGRPCStreamsAreGoodProbes(t *testing.T) {
	eachPath(t, func(t *testing.T, dataPath string) {
		ip := ownIP(t)
		u := newGRPCUpstream(t, ip)
		m := newMesh(t, ip, service("orders", u.address, "protocol: GRPC")+policyFor("orders", dataPath, "timeout: 0s", threeProbes))
		conn, err := grpc.NewClient(m.egress, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("orders"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		client := healthv1.NewHealthClient(conn)
		u.code.Store(14)
		if _, err := client.Check(t.Context(), &healthv1.HealthCheckRequest{}); err == nil {
			t.Fatal("the call succeeded")
		}
		m.state(t, "orders", "half_open")
		for range 3 {
			eventually(t, "a probe gets through", func() error {
				stream, err := client.Watch(t.Context(), &healthv1.HealthCheckRequest{})
				if err == nil {
					_, err = stream.Recv()
				}
				return err
			})
		}
		m.state(t, "orders", "closed")
	})
}
