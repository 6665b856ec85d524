package e2e

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
)

// dialect is the protocol of a call, with the kind of its service.
type dialect struct {
	name     string
	protocol string // the protocol of the upstream
	bare     bool   // the service speaks gRPC without a gRPC library, and can break its rules
}

// The dialects.
var (
	http1    = dialect{name: "http1", protocol: "HTTP1"}
	http2    = dialect{name: "http2", protocol: "HTTP2"}
	grpcs    = dialect{name: "grpc", protocol: "GRPC"}
	bareGRPC = dialect{name: "bare-grpc", protocol: "GRPC", bare: true}
)

// paths are the data paths. The names of breakers end with the suffix of their data path.
var paths = []struct{ dataPath, suffix string }{{"Adaptive", "-a"}, {"Inline", "-i"}}

// scripted is a mesh between scripted callers and scripted services.
type scripted struct {
	*mesh
	services map[dialect]string // the addresses of the services
	refusing string             // an address that refuses connections
	silent   string             // an address that does not answer

	mu    sync.Mutex // guards the fields below
	http2 map[pair]*http2Client
	grpc  map[pair]*grpc.ClientConn
}

// newScripted starts the services.
func newScripted(t *testing.T) *scripted {
	t.Helper()
	ip := ownIP(t)
	s := &scripted{mesh: prepareMesh(t, ip, ""), http2: map[pair]*http2Client{}, grpc: map[pair]*grpc.ClientConn{}}
	h2 := newHTTP2Server(t, ip)
	s.services = map[dialect]string{http1: newHTTP1Server(t, ip), http2: h2, grpcs: newGRPCServer(t, ip), bareGRPC: h2}
	l := listen(t, ip)
	s.refusing = l.Addr().String()
	l.Close()
	s.silent = newSilentAddress(t, ip)
	t.Cleanup(func() {
		for _, c := range s.http2 {
			c.transport.CloseIdleConnections()
		}
		for _, c := range s.grpc {
			c.Close()
		}
	})
	return s
}

// newSilentAddress returns an address that does not answer, because its queue of connections is full.
func newSilentAddress(t *testing.T, ip string) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	at := &syscall.SockaddrInet4{Addr: [4]byte(net.ParseIP(ip).To4())}
	if err := syscall.Bind(fd, at); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort(ip, strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
	for range 10 {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue is not full with ten connections")
	return ""
}

// documents returns an upstream for a service's script, and its policy, as YAML. fields has lines of the policy's spec.
func (s *scripted) documents(name string, d dialect, script string, fields ...string) string {
	address, more := s.services[d], []string{"protocol: " + d.protocol}
	switch script {
	case "refused":
		address = s.refusing
	case "unreachable":
		address = s.silent
	case "unhealthy":
		address = s.refusing
		check := "healthCheck: {path: /, unhealthyThreshold: 1}"
		if d.protocol == "GRPC" {
			check = "healthCheck: {unhealthyThreshold: 1}"
		}
		more = append(more, check)
	}
	return service(name, address, more...) + policyFor(name, fields...)
}

// begin starts the control plane, and a proxy with one worker, so that its log is in order.
func (s *scripted) begin(t *testing.T, documents string) {
	t.Helper()
	s.write(t, "policy.yaml", documents)
	s.workers = 1
	s.startControl(t)
	s.startEnvoy(t)
}

// pair names both ends of a call. Calls of the same pair share a connection to the proxy, except in HTTP/1.1.
type pair struct {
	dialect      dialect
	client, host string
}

// call makes the calls of a row, or of a kind of traffic, and returns the results for their callers.
func (s *scripted) call(ctx context.Context, e pair, service, caller string) []seen {
	p := planOf(caller)
	alternatives := strings.Split(service, "|")
	all := make([]seen, len(alternatives))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for i, script := range alternatives {
		wg.Go(func() {
			// Calls without a time between them are all made, even if one of them comes late on a busy machine.
			if d := time.Duration(i) * p.apart; d > 0 && !pause(d, ctx.Done()) {
				return
			}
			l, err := s.clientCall(e, strings.TrimSpace(script), &p)
			if err != nil {
				all[i].result = err.Error()
				return
			}
			all[i] = p.run(ctx, l)
			if p.hedged {
				cancel()
			}
		})
	}
	wg.Wait()
	return all
}

// clientCall begins a call.
func (s *scripted) clientCall(e pair, script string, p *plan) (clientCall, error) {
	switch e.dialect.protocol {
	case "HTTP1":
		return newHTTP1ClientCall(s.egress, e.host, script, p)
	case "HTTP2":
		return newHTTP2ClientCall(s.http2Client(e), e.host, script, p)
	default:
		conn, err := s.connection(e)
		if err != nil {
			return nil, err
		}
		return newGRPCClientCall(conn, script, p), nil
	}
}

func (s *scripted) http2Client(e pair) *http2Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http2[e] == nil {
		s.http2[e] = newHTTP2Client(s.egress)
	}
	return s.http2[e]
}

// connection returns the connection to the proxy that gRPC callers of a pair share, when it is established.
func (s *scripted) connection(e pair) (*grpc.ClientConn, error) {
	conn, err := s.sharedConnection(e)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn.Connect()
	for state := conn.GetState(); state != connectivity.Ready; state = conn.GetState() {
		if !conn.WaitForStateChange(ctx, state) {
			return nil, fmt.Errorf("no connection to the proxy: %w", ctx.Err())
		}
	}
	return conn, nil
}

func (s *scripted) sharedConnection(e pair) (conn *grpc.ClientConn, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.grpc[e] == nil {
		s.grpc[e], err = grpc.NewClient(s.egress, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithAuthority(e.host), grpc.WithDisableRetry())
	}
	return s.grpc[e], err
}
