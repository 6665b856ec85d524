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

// dialect is what the two ends of a call speak.
type dialect struct {
	name     string
	protocol string // of the upstream
	lawless  bool   // its service speaks gRPC and need not keep the rules
}

// The dialects.
var (
	http1    = dialect{name: "http1", protocol: "HTTP1"}
	http2    = dialect{name: "http2", protocol: "HTTP2"}
	grpcs    = dialect{name: "grpc", protocol: "GRPC"}
	bareGRPC = dialect{name: "bare-grpc", protocol: "GRPC", lawless: true}
)

// paths are the data paths. What is said of one breaker in each has its name with this behind it.
var paths = []struct{ dataPath, suffix string }{{"Adaptive", "-a"}, {"Inline", "-i"}}

// scripted is a mesh between scripted callers and scripted services.
type scripted struct {
	*mesh
	services map[dialect]string // addresses
	nobody   string             // an address at which nobody listens
	busy     string             // one that does not answer

	mu    sync.Mutex
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
	s.nobody = l.Addr().String()
	l.Close()
	s.busy = newBusyAddress(t, ip)
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

// newBusyAddress is one whose queue of connections is full, so that nobody gets an answer there.
func newBusyAddress(t *testing.T, ip string) string {
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
	t.Fatal("a queue of no length is not full with ten connections")
	return ""
}

// documents are an upstream for a script, with its policy; fields are lines of the policy's spec.
func (s *scripted) documents(name string, d dialect, script string, fields ...string) string {
	address, more := s.services[d], []string{"protocol: " + d.protocol}
	switch script {
	case "refused":
		address = s.nobody
	case "unreachable":
		address = s.busy
	case "unhealthy":
		address = s.nobody
		check := "healthCheck: {path: /, unhealthyThreshold: 1}"
		if d.protocol == "GRPC" {
			check = "healthCheck: {unhealthyThreshold: 1}"
		}
		more = append(more, check)
	}
	return service(name, address, more...) + policyFor(name, fields...)
}

// begin starts the control plane, and a proxy with one worker, whose log is in order.
func (s *scripted) begin(t *testing.T, documents string) {
	t.Helper()
	s.write(t, "policy.yaml", documents)
	s.workers = 1
	s.startControl(t)
	s.startEnvoy(t)
}

// pair is the two ends of a call. Calls of the same pair share a connection to the proxy, where
// the dialect has that.
type pair struct {
	dialect      dialect
	client, host string
}

// call makes the calls that a row or a kind of traffic consists of, and returns what their callers saw.
func (s *scripted) call(ctx context.Context, e pair, service, caller string) []seen {
	p := planOf(caller)
	alternatives := strings.Split(service, "|")
	all := make([]seen, len(alternatives))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for i, script := range alternatives {
		wg.Go(func() {
			// Calls that are made at once are made, also where this one comes late on a busy machine.
			if d := time.Duration(i) * p.apart; d > 0 && !pause(d, ctx.Done()) {
				return
			}
			l, err := s.line(e, strings.TrimSpace(script), &p)
			if err != nil {
				all[i].what = err.Error()
				return
			}
			all[i] = p.carry(ctx, l)
			if p.hedged {
				cancel()
			}
		})
	}
	wg.Wait()
	return all
}

// line begins a call.
func (s *scripted) line(e pair, script string, p *plan) (line, error) {
	switch e.dialect.protocol {
	case "HTTP1":
		return newHTTP1Line(s.egress, e.host, script, p)
	case "HTTP2":
		return newHTTP2Line(s.http2Client(e), e.host, script, p)
	default:
		conn, err := s.connection(e)
		if err != nil {
			return nil, err
		}
		return newGRPCLine(conn, script, p), nil
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

// connection returns the one to the proxy that gRPC callers share, when it stands.
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
