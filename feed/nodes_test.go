package feed

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/guard/guardtest"
	"breakwater.dev/wire"
)

// connectAs returns a proxy that shows the certificate of a workload.
func connectAs(t *testing.T, workload string) *guardtest.Proxy {
	t.Helper()
	return guardtest.Connect(t, guard.New(guard.Options{Log: slog.New(slog.DiscardHandler)}), workload)
}

// identify begins a stream of a proxy with an id.
func (r *rig) identify(p *guard.Peer, id string) (*worker, error) {
	r.t.Helper()
	data, err := proto.Marshal(identified(id, wire.RequestLog))
	if err != nil {
		r.t.Fatal(err)
	}
	n, upstream, err := r.server.identify(data, p)
	if err != nil {
		return nil, err
	}
	return newWorker(r.server, n, upstream), nil
}

// TestIDsThatOneIdentityMakesUp leave room for proxies of others, whether their streams have ended or go on.
func TestIDsThatOneIdentityMakesUp(t *testing.T) {
	r := newRig(t)
	thief := connectAs(t, "thief").Peer()
	shop := connectAs(t, "shop").Peer()
	for i := range maxNodes + 100 {
		w, err := r.identify(thief, fmt.Sprint("left-", i))
		if err != nil {
			t.Fatal(err)
		}
		w.leave()
	}
	for i := range maxOwned {
		if _, err := r.identify(thief, fmt.Sprint("stays-", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.identify(thief, "one too many"); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("error %v, want that the identity has too many proxies", err)
	}
	if _, err := r.identify(thief, "stays-0"); err != nil {
		t.Errorf("another stream of a proxy that is known: %v", err)
	}
	if _, err := r.identify(shop, "shop-0"); err != nil {
		t.Errorf("a proxy of another identity: %v", err)
	}
}

// TestProxiesWithoutStreamsMakeRoom for new ones, in the order in which they left. A proxy with a stream stays.
func TestProxiesWithoutStreamsMakeRoom(t *testing.T) {
	r := newRig(t)
	r.server.join("stays", "")
	for i := len(r.server.nodes.byID); i < maxNodes; i++ {
		r.now++
		r.server.Applied(fmt.Sprint(i), nil, r.now)
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
	r.now = r.now.Add(2 * retention)
	r.server.Sample(r.now)
	if len(r.server.nodes.owned) > 1 {
		t.Errorf("identities without proxies are remembered: %d", len(r.server.nodes.owned))
	}
}

// quiet is a stream that ends before its proxy has sent a message.
type quiet struct {
	grpc.ServerStream
	ctx context.Context
	err error
}

func (s quiet) Context() context.Context { return s.ctx }
func (s quiet) RecvMsg(any) error        { return s.err }
func (s quiet) SendMsg(any) error        { return nil }

// TestStreamsThatEndAtOnce: a peer that opens many of them in a short time loses its connection, as with the other services.
func TestStreamsThatEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // all within a second
		r := newRig(t)
		for _, end := range []error{io.EOF, status.Error(codes.Canceled, "reset")} {
			thief := connectAs(t, "thief")
			ctx := thief.Context(t.Context())
			few := 100
			for range few {
				if err := r.server.serve(quiet{ctx: ctx, err: end}); err != nil {
					t.Fatal(err)
				}
			}
			if thief.Closed() {
				t.Error("the connection is closed after a few")
			}
			for range 10 * few {
				if err := r.server.serve(quiet{ctx: ctx, err: end}); err != nil {
					t.Fatal(err)
				}
			}
			if !thief.Closed() {
				t.Errorf("the connection is not closed after 1,100 streams that ended with %v", end)
			}
		}
	})
}
