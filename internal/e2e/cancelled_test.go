package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// TestCancelledCallsHarmNoOthers shows that an application that cancels most of its calls keeps its connection to the proxy,
// and with it its other calls. Applications with hedged requests or with short deadlines do that. By default, Envoy takes
// 250 cancelled calls for an attack, and closes the connection.
func TestCancelledCallsHarmNoOthers(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newGRPCUpstream(t, ip)
	m := newMesh(t, ip, service("orders", u.address, "protocol: GRPC")+policyFor("orders", "timeout: 0s"))
	conn, err := grpc.NewClient(m.egress, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := healthv1.NewHealthClient(conn)
	stream, err := client.Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	other := make(chan error, 1)
	go func() {
		_, err := stream.Recv()
		other <- err
	}()
	u.code.Store(uint32(codes.Canceled))
	for n := range 600 {
		calls := u.calls.Load()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := client.Check(ctx, &healthv1.HealthCheckRequest{})
			ended <- err
		}()
		eventually(t, "the service has the call", func() error {
			select {
			case err := <-other:
				t.Fatalf("after %d cancelled calls, a call that was not cancelled has ended: %v", n, err)
			default:
			}
			if u.calls.Load() == calls {
				return errors.New("not yet")
			}
			return nil
		})
		cancel()
		if err := <-ended; status.Code(err) != codes.Canceled {
			t.Fatalf("cancelled call %d: %v", n, err)
		}
	}
	stats, err := fetch("http://" + ip + ":9901/stats?filter=premature_resets")
	if want := "http.egress.downstream_rq_too_many_premature_resets: 0"; err != nil || !strings.Contains(stats, want) {
		t.Errorf("%v, %q, want %q", err, stats, want)
	}
}
