package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// grpcUpstream is the gRPC health service, which every gRPC library has.
type grpcUpstream struct {
	healthv1.UnimplementedHealthServer
	address string
	calls   atomic.Int64
	code    atomic.Uint32 // the status code of Check
}

func newGRPCUpstream(t *testing.T, ip string) *grpcUpstream {
	t.Helper()
	u := &grpcUpstream{}
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	u.address = l.Addr().String()
	s := grpc.NewServer()
	healthv1.RegisterHealthServer(s, u)
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return u
}

// Check answers with the code. It sends headers first, so that the status is in the trailers, as it is when a handler fails
// after it has begun its response.
func (u *grpcUpstream) Check(ctx context.Context, _ *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	u.calls.Add(1)
	code := codes.Code(u.code.Load())
	if code == codes.Canceled { // send nothing until the caller has left
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if code == codes.Aborted { // send a response without headers
		return nil, status.Error(codes.Unavailable, "at once")
	}
	if err := grpc.SendHeader(ctx, metadata.Pairs("x-began", "yes")); err != nil {
		return nil, err
	}
	if code != codes.OK {
		return nil, status.Error(code, "in trailers")
	}
	return &healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_SERVING}, nil
}

// Watch sends one message, and then nothing until the caller leaves.
func (u *grpcUpstream) Watch(_ *healthv1.HealthCheckRequest, s healthv1.Health_WatchServer) error {
	if err := s.Send(&healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_SERVING}); err != nil {
		return err
	}
	<-s.Context().Done()
	return s.Context().Err()
}

// TestGRPC shows that a gRPC call counts by the status in its trailers, and that a rejected caller gets a gRPC status.
func TestGRPC(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"Inline", "Adaptive"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			checkGRPC(t, path)
		})
	}
}

func checkGRPC(t *testing.T, path string) {
	t.Helper()
	ip := ownIP(t)
	u := newGRPCUpstream(t, ip)
	m := newMesh(t, ip, service("orders", u.address, "protocol: GRPC")+policyFor("orders", "dataPath: "+path,
		"breaker: {consecutiveFailures: 3, failureRateThreshold: 0%, waitDurationInOpenState: 2s, successThreshold: 1}",
		`fallback: {response: {status: 503, body: "orders are closed"}}`))
	conn, err := grpc.NewClient(m.egress, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := healthv1.NewHealthClient(conn)
	check := func(ctx context.Context) *status.Status {
		_, err := client.Check(ctx, &healthv1.HealthCheckRequest{})
		return status.Convert(err)
	}
	wants := func(condition string, failures, timeouts int) {
		t.Helper()
		eventually(t, condition, func() error {
			c := m.breaker(t, "orders").Counts
			if c.Failures != failures || c.Timeouts != timeouts {
				return fmt.Errorf("the counts are %+v, want %d failures, %d of them timeouts", c, failures, timeouts)
			}
			return nil
		})
	}
	expect := func(got *status.Status, want codes.Code) {
		t.Helper()
		if got.Code() != want {
			t.Fatalf("status %v %q, want %v", got.Code(), got.Message(), want)
		}
	}

	expect(check(t.Context()), codes.OK)
	u.code.Store(uint32(codes.NotFound)) // is not a failure
	for range 4 {
		expect(check(t.Context()), codes.NotFound)
	}
	wants("NOT_FOUND is no failure", 0, 0)

	u.code.Store(uint32(codes.Unavailable))
	expect(check(t.Context()), codes.Unavailable)
	wants("UNAVAILABLE in trailers is a failure", 1, 0)
	u.code.Store(uint32(codes.Aborted))
	expect(check(t.Context()), codes.Unavailable)
	wants("UNAVAILABLE without headers is a failure", 2, 0)
	u.code.Store(uint32(codes.OK))
	expect(check(t.Context()), codes.OK)
	m.counted(t, "orders", "successes", 6)
	u.code.Store(uint32(codes.Unavailable))
	for range 3 {
		expect(check(t.Context()), codes.Unavailable)
	}
	wants("three failures in a row after a success", 5, 0)

	m.state(t, "orders", "open")
	if path == "Adaptive" {
		eventually(t, "the proxy rejects", func() error {
			if got := check(t.Context()); got.Message() != "orders are closed" {
				return got.Err()
			}
			return nil
		})
	}
	reached := u.calls.Load()
	got := check(t.Context())
	expect(got, codes.Unavailable)
	if got.Message() != "orders are closed" {
		t.Errorf("message %q, want the fallback's body", got.Message())
	}
	if n := u.calls.Load(); n != reached {
		t.Error("a rejected call reached the upstream")
	}

	u.code.Store(uint32(codes.OK))
	m.state(t, "orders", "half_open")
	eventually(t, "the proxy lets a probe through", func() error { return check(t.Context()).Err() })
	m.state(t, "orders", "closed")
}

// TestGRPCDeadlines shows that a call counts as a timeout if the policy's timeout ends it, and is ignored if an earlier
// deadline of its caller does.
func TestGRPCDeadlines(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	// The service is not a gRPC server, which would know the caller's deadline too, and might end the call first.
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(hang), ErrorLog: noLog, Protocols: new(http.Protocols)}
	server.Protocols.SetUnencryptedHTTP2(true)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })

	m := newMesh(t, ip, service("orders", l.Addr().String(), "protocol: GRPC")+guard("orders", "timeout: 1s"))
	conn, err := grpc.NewClient(m.egress, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	call := func(deadline time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), deadline)
		defer cancel()
		_, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{})
		if status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("with a deadline of %s: %v, want DEADLINE_EXCEEDED", deadline, err)
		}
		return err
	}
	// On a busy machine a call may not be counted: its deadline may pass before it reaches the control plane, and it passes
	// the breaker if the control plane does not answer in time.
	eventually(t, "a client that leaves is counted", func() error {
		if c := m.breaker(t, "orders").Counts; c.Ignored == 0 {
			return errors.Join(call(300*time.Millisecond), fmt.Errorf("the counts are %+v, want 1 ignored", c))
		}
		return nil
	})
	called := 0
	eventually(t, "a timeout is counted", func() error {
		c := m.breaker(t, "orders").Counts
		if c.Timeouts == 0 {
			called++
			return errors.Join(call(patience), fmt.Errorf("the counts are %+v, want a timeout", c))
		}
		if c.Timeouts > called || c.Ignored == 0 || c.Requests != c.Timeouts+c.Ignored {
			return fmt.Errorf("the counts are %+v, want at most %d timeouts, and all other calls ignored", c, called)
		}
		return nil
	})
}

// TestGRPCHangsAfterHeaders shows that a call counts as a timeout if its response begins and is then silent for the policy's
// idleTimeout.
func TestGRPCHangsAfterHeaders(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newGRPCUpstream(t, ip)
	m := newMesh(t, ip, service("orders", u.address, "protocol: GRPC")+guard("orders", "timeout: 0s", "idleTimeout: 2s"))
	conn, err := grpc.NewClient(m.egress, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil {
		t.Fatal("the stream got another message")
	}
	eventually(t, "the call counts as a timeout", func() error {
		if c := m.breaker(t, "orders").Counts; c.Timeouts != 1 {
			return fmt.Errorf("the counts are %+v, want 1 timeout", c)
		}
		return nil
	})
}

// TestLongStreams shows that a stream is not ended with timeout 0s, and that it is ignored when its caller ends it.
func TestLongStreams(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newGRPCUpstream(t, ip)
	m := newMesh(t, ip, service("orders", u.address, "protocol: GRPC")+guard("orders", "timeout: 0s", "breaker: {consecutiveFailures: 1}"))
	conn, err := grpc.NewClient(m.egress, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority("orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	stream, err := healthv1.NewHealthClient(conn).Watch(ctx, &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	leave()
	eventually(t, "the stream has ended", func() error {
		if c := m.breaker(t, "orders").Counts; c.Ignored != 1 || c.Failures != 0 {
			return fmt.Errorf("the counts are %+v, want 1 ignored", c)
		}
		return nil
	})
	if got := m.breaker(t, "orders").State; got != "closed" {
		t.Errorf("the breaker is %s, want closed", got)
	}
}
