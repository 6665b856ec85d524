package e2e

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"breakwater.dev/wire"
	"breakwater.dev/xds"
)

// idleProxies connects n proxies that take every runtime layer, and whose applications never call.
func (m *mesh) idleProxies(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		conn, err := grpc.NewClient(m.ip+":18000", grpc.WithTransportCredentials(insecure.NewCredentials())) // each has its own
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		stream, err := runtimev3.NewRuntimeDiscoveryServiceClient(conn).DeltaRuntime(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		err = stream.Send(&discoveryv3.DeltaDiscoveryRequest{
			Node:    &corev3.Node{Id: fmt.Sprintf("idle-%d", i), Cluster: "idle"},
			TypeUrl: xds.RuntimeType, ResourceNamesSubscribe: []string{wire.RuntimeLayer},
		})
		if err != nil {
			t.Fatal(err)
		}
		taken := make(chan error, 1)
		go func() {
			for {
				r, err := stream.Recv()
				if err == nil {
					err = stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce})
				}
				select {
				case taken <- err:
				default: // the first layer is there
				}
				if err != nil {
					return
				}
			}
		}()
		select {
		case err := <-taken:
			if err != nil {
				t.Fatalf("an idle proxy gets its layer: %v", err)
			}
		case <-time.After(2 * patience):
			t.Fatal("an idle proxy gets no layer")
		}
	}
}

// TestTCPHalfOpenFindsWhoCalls: of many proxies one has an application that calls. The permits are
// its own, and the breaker closes as soon as it would without the others.
func TestTCPHalfOpenFindsWhoCalls(t *testing.T) {
	t.Parallel()
	for _, idle := range []int{0, 9, 100} {
		t.Run(fmt.Sprintf("%d idle proxies", idle), func(t *testing.T) {
			t.Parallel()
			ip := ownIP(t)
			s := newEchoServer(t, ip, echoes)
			m := newMesh(t, ip, database(s.address)+adaptive("db", "breaker: {consecutiveFailures: 2, failureRateThreshold: 0%, waitDurationInOpenState: 2s}"))
			m.idleProxies(t, idle)
			m.tripConnections(t, s, m.egress)
			s.start(t)
			took := m.closes(t, m.egress)
			t.Logf("closed %s after it was half-open", took.Round(10*time.Millisecond))
		})
	}
}

// TestTCPPermitsMove: the application that called while the breaker was open has gone when it is
// half-open, and one behind another proxy calls instead.
func TestTCPPermitsMove(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	s := newEchoServer(t, ip, echoes)
	m := newMesh(t, ip, database(s.address)+adaptive("db", "breaker: {consecutiveFailures: 2, failureRateThreshold: 0%, waitDurationInOpenState: 2s}"))
	other := m.fleet(t, 2)[1]
	m.idleProxies(t, 20)
	m.tripConnections(t, s, m.egress)
	s.start(t)
	m.state(t, "db", "half_open")
	took := m.closes(t, other.egress)
	t.Logf("closed %s after somebody called", took.Round(10*time.Millisecond))
}

// connectionPort is where a proxy listens for the database.
func connectionPort(t *testing.T, egress string) string {
	t.Helper()
	host, _, err := net.SplitHostPort(egress)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(host, "15432")
}

// tripConnections opens the breaker of a database that does not listen any more.
func (m *mesh) tripConnections(t *testing.T, s *echoServer, egress string) {
	t.Helper()
	s.listener.Close()
	address := connectionPort(t, egress)
	eventually(t, "the breaker opens", func() error {
		if c, err := say(address); err == nil {
			c.Close()
			return errors.New("a connection was made")
		}
		return m.is(t, "db", "open")
	})
}

// closes has a pool of three connections connect until the breaker is closed, and returns how
// long that took from when it was half-open: at most 10 s.
func (m *mesh) closes(t *testing.T, egress string) time.Duration {
	t.Helper()
	const most = 10 * time.Second
	address := connectionPort(t, egress)
	var pool []net.Conn
	defer func() {
		for _, c := range pool {
			c.Close()
		}
	}()
	called, began := time.Now(), time.Time{}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		state := m.breaker(t, "db").State
		switch {
		case state == "half_open" && began.IsZero():
			began = time.Now()
		case state == "closed":
			return time.Since(began)
		case !began.IsZero() && time.Since(began) > most:
			t.Fatalf("it is %s %s after it was half-open, want closed", state, most)
		case began.IsZero() && time.Since(called) > 2*patience:
			t.Fatalf("it is %s after %s of calls, want half_open", state, 2*patience)
		}
		if len(pool) < 3 {
			if c, err := say(address); err == nil {
				pool = append(pool, c)
			}
		}
	}
	return 0
}
