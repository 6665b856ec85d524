package discovery

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	grpcpeer "google.golang.org/grpc/peer"

	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/presence"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// lockedLog is a log that a test reads while others may write.
type lockedLog struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// from is a context of a stream that comes from an address.
func from(t *testing.T, address string) context.Context {
	return grpcpeer.NewContext(t.Context(), &grpcpeer.Peer{Addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))})
}

// appearing connects a proxy from an address, and returns what takes it away.
func appearing(t *testing.T, s *Server, address, typeURL string, metadata map[string]any) (leave func()) {
	t.Helper()
	w := newPipe[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse](from(t, address), room)
	go w.run(s, protocol.NewDelta(w))
	t.Cleanup(w.cancel)
	p := &deltaProxy{deltaPipe: w, t: t, node: nodeOf("app-1", metadata)}
	p.subscribe(typeURL)
	return func() { w.cancel(); synctest.Wait() }
}

// TestTwoProxiesWithOneID are noticed, once, and no proxy is that connects again or restarts.
func TestTwoProxiesWithOneID(t *testing.T) {
	other := map[string]any{wire.MetadataListen: "127.0.0.1:10001"}
	for _, tt := range []struct {
		name, second string
		typeURL      string
		metadata     map[string]any
		after        time.Duration // 0: it is none
	}{
		{"on another host", "10.0.0.2:1", xds.ClusterType, nil, presence.Reconnecting},
		{"on another port to listen at", "10.0.0.1:2", xds.ClusterType, other, presence.Reconnecting},
		{"a hot restart that does not end", "10.0.0.1:2", xds.ClusterType, nil, presence.Restarting},
		{"a stream for the layer", "10.0.0.2:1", xds.RuntimeType, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log lockedLog
				s := NewServer(Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now})
				said := func() int { synctest.Wait(); return strings.Count(log.String(), "the same node id") }
				appearing(t, s, "10.0.0.1:1", xds.ClusterType, nil)
				time.Sleep(time.Hour)
				leave := appearing(t, s, tt.second, tt.typeURL, tt.metadata)
				if tt.after == 0 {
					time.Sleep(time.Hour)
					if ids := s.present.Duplicates(); ids != nil || said() != 0 {
						t.Errorf("noticed %v, want none", ids)
					}
					return
				}
				time.Sleep(tt.after - time.Nanosecond)
				if ids := s.present.Duplicates(); ids != nil || said() != 0 {
					t.Errorf("noticed %v too early", ids)
				}
				time.Sleep(2 * time.Nanosecond)
				if ids := s.present.Duplicates(); !slices.Equal(ids, []string{"app-1"}) || said() != 1 {
					t.Errorf("noticed %v and said so %d times, want app-1 and once", ids, said())
				}
				third := appearing(t, s, "10.0.0.3:1", xds.ClusterType, nil)
				time.Sleep(time.Hour)
				if said() != 1 {
					t.Errorf("said %d times that there are more than one, want once", said())
				}
				third()
				leave()
				if ids := s.present.Duplicates(); ids != nil {
					t.Errorf("noticed %v when one had left", ids)
				}
			})
		})
	}
}

// TestProxyThatConnectsAgain: its old connection ends when keepalives get no answer.
func TestProxyThatConnectsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		leave := appearing(t, s, "10.0.0.1:1", xds.ClusterType, nil)
		appearing(t, s, "10.0.0.9:1", xds.ClusterType, nil) // after another network came up
		time.Sleep(presence.Reconnecting - time.Second)
		leave()
		time.Sleep(time.Hour)
		if ids := s.present.Duplicates(); ids != nil {
			t.Errorf("noticed %v, want none", ids)
		}
	})
}
