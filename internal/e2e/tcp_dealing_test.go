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

// idleProxies connects n proxies that acknowledge every runtime layer, and whose applications make no calls.
func (m *mesh) idleProxies(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		conn, err := grpc.NewClient(m.ip+":18000", grpc.WithTransportCredentials(insecure.NewCredentials())) // each proxy has its own connection
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
		acknowledged := make(chan error, 1)
		go func() {
			for {
				r, err := stream.Recv()
				if err == nil {
					err = stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce})
				}
				select {
				case acknowledged <- err:
				default: // this is not the first layer
				}
				if err != nil {
					return
				}
			}
		}()
		select {
		case err := <-acknowledged:
			if err != nil {
				t.Fatalf("an idle proxy cannot acknowledge its layer: %v", err)
			}
		case <-time.After(2 * patience):
			t.Fatal("an idle proxy gets no layer")
		}
	}
}

// TestTCPHalfOpenFindsTheCaller shows that one proxy among many gets all permits if only its application makes calls, and that
// the breaker closes as soon as without the other proxies.
func TestTCPHalfOpenFindsTheCaller(t *testing.T) {
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
			t.Logf("the breaker closed %s after it was half-open", took.Round(10*time.Millisecond))
		})
	}
}

// TestTCPPermitsMove shows that permits move to another proxy. The application that made calls while the breaker was open ends
// before it is half-open, and an application behind the other proxy makes calls instead.
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
	t.Logf("the breaker closed %s after the first call", took.Round(10*time.Millisecond))
}

// connectionPort returns the address at which a proxy listens for the database.
func connectionPort(t *testing.T, egress string) string {
	t.Helper()
	host, _, err := net.SplitHostPort(egress)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort(host, "15432")
}

// tripConnections stops a database, and makes calls until its breaker is open.
func (m *mesh) tripConnections(t *testing.T, s *echoServer, egress string) {
	t.Helper()
	s.listener.Close()
	address := connectionPort(t, egress)
	eventually(t, "the breaker opens", func() error {
		if c, err := dialEcho(address); err == nil {
			c.Close()
			return errors.New("a connection was made")
		}
		return m.inState(t, "db", "open")
	})
}

// closes opens connections, up to a pool of three, until the breaker is closed. It returns the time from half-open to closed,
// which must be at most 10 s.
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
			t.Fatalf("the breaker is %s, and it has been half-open for %s; want closed", state, most)
		case began.IsZero() && time.Since(called) > 2*patience:
			t.Fatalf("the breaker is %s after %s of calls, want half_open", state, 2*patience)
		}
		if len(pool) < 3 {
			if c, err := dialEcho(address); err == nil {
				pool = append(pool, c)
			}
		}
	}
	return 0
}
