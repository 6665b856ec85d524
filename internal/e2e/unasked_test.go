package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const (
	// endlessProbes is a breaker that opens at the first failure, is half-open soon, and then stays half-open.
	endlessProbes = "breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, slowCallRateThreshold: 0%, waitDurationInOpenState: 300ms, " +
		"permittedNumberOfCallsInHalfOpenState: 3, successThreshold: 1000, maxWaitDurationInHalfOpenState: 1h}"
	// probingTTL is how long the gates of half-open breakers stay in force by default without contact to the control plane.
	probingTTL = 3 * time.Second
)

// losses are the ways in which proxies lose a control plane without notice.
var losses = map[string]func(*testing.T, *operated){
	"killed": func(_ *testing.T, o *operated) { o.control.kill() },
	"hung":   func(t *testing.T, o *operated) { t.Helper(); o.hang(t) },
}

// hang stops the control plane without ending it, and waits until it no longer answers.
func (o *operated) hang(t *testing.T) {
	t.Helper()
	o.control.signal(t, syscall.SIGSTOP)
	client := &http.Client{Timeout: 300 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	eventually(t, "the control plane hangs", func() error {
		resp, err := client.Get("http://" + o.ip + ":18080/health/live")
		if err != nil {
			return nil
		}
		return errors.Join(errors.New("the control plane answers"), resp.Body.Close())
	})
}

// eachLoss runs a test with each of losses, in parallel.
func eachLoss(t *testing.T, test func(t *testing.T, lose func(*testing.T, *operated))) {
	t.Parallel()
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, lose)
		})
	}
}

// awaitProbe waits until a probe reaches the service, so that the proxy has the gate of a half-open breaker.
func (m *mesh) awaitProbe(t *testing.T, name string) {
	t.Helper()
	eventually(t, "a probe reaches the service", func() error {
		if r := m.request(t, http.MethodGet, name, "/"); r.status != http.StatusAccepted {
			return fmt.Errorf("got %d %q", r.status, r.body)
		}
		return nil
	})
}

// callWithoutControlPlane makes calls one after the other while no control plane answers. Each must get the fallback, until the
// gate has expired. Then calls must reach the service.
func callWithoutControlPlane(t *testing.T, lost time.Time, call func() (reached, fellBack bool, result string)) {
	t.Helper()
	for n := 0; ; n++ {
		reached, fellBack, result := call()
		took := time.Since(lost)
		switch {
		case reached:
			if n == 0 || took < probingTTL/2 {
				t.Errorf("only %d calls got the fallback in %s; the gate is in force for up to %s", n, took, probingTTL)
			}
			return
		case !fellBack:
			t.Fatalf("call %d, %s after the loss: got %s, want the fallback", n, took, result)
		case took > 3*probingTTL:
			t.Fatalf("no call reaches the service %s after the loss; the gate is in force for up to %s", took, probingTTL)
		}
	}
}

// TestFallbackWhenProbesCannotAsk shows that calls of a half-open breaker get the fallback, whatever it is, when the control plane
// is lost, and that they pass soon.
func TestFallbackWhenProbesCannotAsk(t *testing.T) {
	eachLoss(t, func(t *testing.T, lose func(*testing.T, *operated)) {
		for name, tt := range map[string]struct {
			fallback string
			status   int
			body     string
		}{
			"response": {"fallback: {response: {status: 200, contentType: text/x, body: sorry, headers: {X-Reason: away}}}", 200, "sorry"},
			"upstream": {"fallback: {upstream: backup}", http.StatusTeapot, "status 418\n"},
			"cached":   {"fallback: {cached: {ttl: 60s}}", 200, "a copy"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ip := ownIP(t)
				first, second := newUpstream(t, ip), newUpstream(t, ip)
				second.behave(answer(http.StatusTeapot))
				o := prepareOperated(t, ip, service("payments", first.address)+service("backup", second.address)+
					adaptive("payments", endlessProbes, tt.fallback))
				o.workers = 1 // so that the worker that gets a call has the copy
				o.startOperated(t)
				o.startEnvoy(t)
				first.behave(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a copy") })
				o.must(t, "payments", http.StatusOK)
				o.mesh.toHalfOpen(t, first, "payments")
				first.behave(answer(http.StatusAccepted))
				o.awaitProbe(t, "payments")
				lost := time.Now()
				lose(t, o)
				callWithoutControlPlane(t, lost, func() (reached, fellBack bool, result string) {
					r := o.request(t, http.MethodGet, "payments", "/")
					fellBack = r.status == tt.status && r.body == tt.body
					if name == "response" {
						fellBack = fellBack && r.header.Get("X-Reason") == "away" && r.header.Get("Content-Type") == "text/x"
					}
					return r.status == http.StatusAccepted, fellBack, fmt.Sprintf("%d %q %v", r.status, r.body, r.header)
				})
			})
		}
	})
}

// TestFallbackWhenGRPCProbesCannotAsk shows the same for gRPC, whose callers get a gRPC status.
func TestFallbackWhenGRPCProbesCannotAsk(t *testing.T) {
	eachLoss(t, func(t *testing.T, lose func(*testing.T, *operated)) {
		for name, tt := range map[string]struct {
			fallback string
			want     codes.Code
		}{
			"response": {"fallback: {response: {status: 503, body: sorry}}", codes.Unavailable},
			"upstream": {"fallback: {upstream: backup}", codes.NotFound},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ip := ownIP(t)
				first, second := newGRPCUpstream(t, ip), newGRPCUpstream(t, ip)
				o := newOperated(t, ip, service("orders", first.address, "protocol: GRPC")+service("backup", second.address, "protocol: GRPC")+
					adaptive("orders", endlessProbes, tt.fallback))
				conn, err := grpc.NewClient(o.egress, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("orders"))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				check := func(ctx context.Context) error {
					_, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
					return err
				}
				first.code.Store(uint32(codes.Internal))
				second.code.Store(uint32(codes.NotFound)) // another code, which is not a failure
				if got := status.Code(check(t.Context())); got != codes.Internal {
					t.Fatalf("got %v, want the failure of the first upstream", got)
				}
				o.state(t, "orders", "half_open")
				first.code.Store(uint32(codes.AlreadyExists))
				eventually(t, "a probe reaches the service", func() error {
					if err := check(t.Context()); status.Code(err) != codes.AlreadyExists {
						return fmt.Errorf("got %v", err)
					}
					return nil
				})
				lost := time.Now()
				lose(t, o)
				callWithoutControlPlane(t, lost, func() (reached, fellBack bool, result string) {
					err := check(t.Context())
					got, message := status.Code(err), status.Convert(err).Message()
					fellBack = got == tt.want && (name != "response" || message == "sorry")
					return got == codes.AlreadyExists, fellBack, fmt.Sprintf("%v %q", got, message)
				})
			})
		}
	})
}

// TestFallbackWhenFailingClosed shows that calls get the fallback while the control plane does not answer, if the policy does not
// let them pass. Only policies with the data path Inline can decide that.
func TestFallbackWhenFailingClosed(t *testing.T) {
	eachLoss(t, func(t *testing.T, lose func(*testing.T, *operated)) {
		ip := ownIP(t)
		first, second := newUpstream(t, ip), newUpstream(t, ip)
		second.behave(answer(http.StatusTeapot))
		o := newOperated(t, ip, service("payments", first.address)+service("backup", second.address)+
			guard("payments", "failOpen: false", "fallback: {upstream: backup}"))
		o.must(t, "payments", http.StatusOK)
		lose(t, o)
		for range 10 {
			o.must(t, "payments", http.StatusTeapot)
		}
	})
}

// TestProbesEndWithoutTheControlPlane shows that probes go on when the control plane is killed.
func TestProbesEndWithoutTheControlPlane(t *testing.T) {
	eachPath(t, func(t *testing.T, dataPath string) {
		ip := ownIP(t)
		u := newUpstream(t, ip)
		o := newOperated(t, ip, service("payments", u.address)+policyFor("payments", dataPath, endlessProbes))
		o.mesh.toHalfOpen(t, u, "payments")
		g := turnstile{release: make(chan int)}
		u.behave(g.handle)
		got := make(chan reply, 3)
		for range 3 {
			go func() {
				for { // until the proxy knows that the breaker is half-open
					r, err := o.get(t.Context(), "payments", "/")
					if err != nil {
						t.Error(err)
					}
					if err != nil || r.status != http.StatusServiceUnavailable {
						got <- r
						return
					}
				}
			}()
		}
		probes(t, o.mesh, 3)
		eventually(t, "all probes are at the service", func() error {
			if n := u.inFlight.Load(); n != 3 {
				return fmt.Errorf("%d of 3 are", n)
			}
			return nil
		})
		o.control.kill()
		for range 3 {
			g.release <- http.StatusAccepted
			if r := <-got; r.status != http.StatusAccepted {
				t.Errorf("a probe got %d %q, want the service's response", r.status, r.body)
			}
		}
	})
}
