package feed

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/internal/guard"
)

// shown is a handshake in which the client shows the certificate of a workload.
type shown struct {
	credentials.TransportCredentials
	workload string
}

func (s shown) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	u, err := url.Parse("spiffe://c/ns/n/sa/" + s.workload)
	info := credentials.TLSInfo{}
	info.State.PeerCertificates = []*x509.Certificate{{URIs: []*url.URL{u}}}
	return c, info, err
}

// silent is a connection on which nothing is said.
type silent struct {
	net.Conn
	closed *bool
}

func (silent) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 4} }
func (s silent) Close() error       { *s.closed = true; return nil }

// meetAs returns a peer that shows the certificate of a workload, the context of its streams, and whether its connection is closed.
func meetAs(t *testing.T, workload string) (p *guard.Peer, ctx context.Context, closed *bool) {
	t.Helper()
	g, closed := guard.New(guard.Options{Log: slog.New(slog.DiscardHandler)}), new(bool)
	_, info, err := g.Credentials(shown{workload: workload}).ServerHandshake(silent{closed: closed})
	if err != nil {
		t.Fatal(err)
	}
	ctx = peer.NewContext(t.Context(), &peer.Peer{AuthInfo: info})
	return guard.Of(ctx), ctx, closed
}

// introduce begins a stream of a proxy, and tells whether it may.
func (r *rig) introduce(p *guard.Peer, id string) (*worker, error) {
	r.t.Helper()
	data, err := proto.Marshal(introduced(id, LogName))
	if err != nil {
		r.t.Fatal(err)
	}
	n, upstream, err := r.server.introduce(data, p)
	if err != nil {
		return nil, err
	}
	return newWorker(r.server, n, upstream), nil
}

// TestNamesThatOneIdentityMakesUp: what is remembered of them, and streams that go on in them, leave room for others.
func TestNamesThatOneIdentityMakesUp(t *testing.T) {
	r := newRig(t)
	thief, _, _ := meetAs(t, "thief")
	shop, _, _ := meetAs(t, "shop")
	for i := range maxNodes + 100 {
		w, err := r.introduce(thief, fmt.Sprint("left-", i))
		if err != nil {
			t.Fatal(err)
		}
		w.leave()
	}
	for i := range maxOwned {
		if _, err := r.introduce(thief, fmt.Sprint("stays-", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.introduce(thief, "one too many"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("error %v, want that the identity has as many as it may", err)
	}
	if _, err := r.introduce(thief, "stays-0"); err != nil {
		t.Errorf("another stream of a proxy that is known: %v", err)
	}
	if _, err := r.introduce(shop, "shop-0"); err != nil {
		t.Errorf("a proxy of another identity: %v", err)
	}
}

// TestWhoHasNoStreamGivesWay to who comes, and first who left first. Who has one stays.
func TestWhoHasNoStreamGivesWay(t *testing.T) {
	r := newRig(t)
	r.server.join("stays", "")
	for i := len(r.server.nodes.byID); i < maxNodes; i++ {
		r.now++
		r.server.Obeyed(fmt.Sprint(i), nil, r.now)
	}
	if r.server.join("comes", "shop") == nil || r.server.node("comes too", "") == nil {
		t.Fatal("there is no room, though most proxies have no stream")
	}
	for id, want := range map[string]bool{"stays": true, "one": false, fmt.Sprint(maxNodes - 1): true, "comes": true} {
		if got := r.server.nodes.byID[id] != nil; got != want {
			t.Errorf("%s is remembered: %t, want %t", id, got, want)
		}
	}
	for i := range maxNodes {
		r.server.join(fmt.Sprint("live-", i), "")
	}
	if got := len(r.server.nodes.byID); got != maxNodes || r.server.node("one too many", "") != nil {
		t.Errorf("%d proxies with streams are remembered, or one more may come; want %d", got, maxNodes)
	}
	r.now = r.now.Add(2 * lingering)
	r.server.Sample(r.now)
	if len(r.server.nodes.owned) > 1 {
		t.Errorf("identities without proxies are remembered: %d", len(r.server.nodes.owned))
	}
}

// quiet is a stream that ends before it has sent anything.
type quiet struct {
	grpc.ServerStream
	ctx context.Context
	err error
}

func (s quiet) Context() context.Context { return s.ctx }
func (s quiet) RecvMsg(any) error        { return s.err }
func (s quiet) SendMsg(any) error        { return nil }

// TestStreamsThatEndAtOnce, all the time, cost the peer its connection, as those of the other services do.
func TestStreamsThatEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // all within a second
		r := newRig(t)
		for _, end := range []error{io.EOF, status.Error(codes.Canceled, "reset")} {
			_, ctx, closed := meetAs(t, "thief")
			few := 100
			for range few {
				if err := r.server.serve(quiet{ctx: ctx, err: end}); err != nil {
					t.Fatal(err)
				}
			}
			if *closed {
				t.Error("the connection is closed after a few")
			}
			for range 10 * few {
				if err := r.server.serve(quiet{ctx: ctx, err: end}); err != nil {
					t.Fatal(err)
				}
			}
			if !*closed {
				t.Errorf("the connection is not closed after 1,100 streams that ended with %v", end)
			}
		}
	})
}
