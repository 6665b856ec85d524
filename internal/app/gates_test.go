package app

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/breaker"
	"breakwater.dev/gate"
	"breakwater.dev/gate/publisher"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery"
)

// services gets the services that a server registers, and keeps the one for runtime layers.
type services struct {
	runtime runtimev3.RuntimeDiscoveryServiceServer
}

func (s *services) RegisterService(_ *grpc.ServiceDesc, service any) {
	if r, ok := service.(runtimev3.RuntimeDiscoveryServiceServer); ok {
		s.runtime = r
	}
}

// layerStream is a proxy's stream for its runtime layer.
type layerStream struct {
	grpc.ServerStream
	ctx context.Context
	in  chan *discoveryv3.DeltaDiscoveryRequest
	out chan *discoveryv3.DeltaDiscoveryResponse
}

func (s *layerStream) Context() context.Context { return s.ctx }

func (s *layerStream) Recv() (*discoveryv3.DeltaDiscoveryRequest, error) {
	return nil, errors.New("requests come by RecvMsg")
}

func (s *layerStream) RecvMsg(request any) error {
	select {
	case m := <-s.in:
		b, err := proto.Marshal(m)
		if err != nil {
			return err
		}
		return discovery.Codec(encoding.GetCodecV2("proto")).Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, request)
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *layerStream) Send(*discoveryv3.DeltaDiscoveryResponse) error {
	return errors.New("responses are marshalled already, and come by SendMsg")
}

func (s *layerStream) SendMsg(frame any) error {
	b, err := discovery.Codec(encoding.GetCodecV2("proto")).Marshal(frame)
	if err != nil {
		return err
	}
	m := &discoveryv3.DeltaDiscoveryResponse{}
	if err := proto.Unmarshal(b.Materialize(), m); err != nil {
		return err
	}
	s.out <- m
	return nil
}

// connect connects a proxy that requests its runtime layer and acknowledges every response until ctx ends.
func connect(ctx context.Context, a *app, n *corev3.Node) {
	var s services
	a.xds.Register(&s)
	st := &layerStream{ctx: ctx, in: make(chan *discoveryv3.DeltaDiscoveryRequest), out: make(chan *discoveryv3.DeltaDiscoveryResponse, 1)}
	go func() { _ = s.runtime.DeltaRuntime(st) }()
	st.in <- &discoveryv3.DeltaDiscoveryRequest{Node: n, TypeUrl: xds.RuntimeType, ResourceNamesSubscribe: []string{wire.RuntimeLayer}}
	go func() {
		for {
			select {
			case m := <-st.out:
				select {
				case st.in <- &discoveryv3.DeltaDiscoveryRequest{TypeUrl: m.TypeUrl, ResponseNonce: m.Nonce}:
				case <-ctx.Done():
				}
			case <-ctx.Done():
				return
			}
		}
	}()
}

// connections returns a policy with one upstream whose calls are connections.
func connections(permits uint32) *policy.Set {
	c := breaker.DefaultConfig()
	c.ConsecutiveFailures, c.PermittedNumberOfCallsInHalfOpenState, c.MaxWaitDurationInHalfOpenState = 1, permits, time.Hour
	spec := breaker.Spec{Key: breaker.Key{Upstream: "db"}, Config: c, Lease: time.Minute}
	return &policy.Set{Upstreams: []*policy.Upstream{{
		Name: "db", Protocol: policy.TCP, Routes: []policy.Route{{Breaker: &policy.Breaker{Spec: spec, DataPath: policy.Adaptive}}},
	}}}
}

// busyFeed reports that each proxy has no connections, and that it last refused one at a given instant.
type busyFeed struct {
	publisher.Feed
	refused atomic.Int64
}

// Links implements [publisher.Feed].
func (f *busyFeed) Links(string, string) gate.Links {
	at := breaker.Instant(f.refused.Load())
	return gate.Links{Called: at, Refused: at}
}

// spy records the gates that were published last.
type spy struct {
	*discovery.Server
	last atomic.Pointer[gate.Set]
}

// PublishGates implements [publisher.Proxies].
func (s *spy) PublishGates(set *gate.Set, decided time.Time) error {
	s.last.Store(set)
	return s.Server.PublishGates(set, decided)
}

// TestConnectionsFromBeforeAreFound shows that a control plane finds the connections that a proxy had before the control
// plane started. With the default settings, the gates are published each second and the proxy acknowledges them as often.
// The proxy gets permits in addition to its old connections, however often its application wants a connection.
func TestConnectionsFromBeforeAreFound(t *testing.T) {
	const before, permits = 4, 2
	for _, every := range []time.Duration{50, 300, 700, 1300, 2900} {
		every *= time.Millisecond
		t.Run(every.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, set, key := made(t, options(t, mesh), nil), connections(permits), breaker.Key{Upstream: "db"}
				defer a.xds.Close()
				busy, published := &busyFeed{Feed: a.feed}, &spy{Server: a.xds}
				a.gates = publisher.New(publisher.Options{Breakers: a.breakers, Feed: busy, Proxies: published, Clock: a.clock, Log: a.log})
				a.driver.Observe(a.observers())
				defer a.publishGates(t.Context())()
				connect(t.Context(), a, &corev3.Node{Id: "one"})
				a.engine.Apply(set.Specs(), a.clock.Now())
				a.gates.Apply(set)
				a.engine.Report(key, []breaker.Reported{{Outcome: breaker.Failure, At: a.clock.Now()}}, a.clock.Now())
				a.driver.Deliver()
				time.Sleep(set.Specs()[0].Config.WaitDurationInOpenState)
				a.engine.Advance(a.clock.Now())
				a.driver.Deliver()
				limit, steps := uint32(0), 0
				for ; limit <= before && steps < 30_000/50; steps++ {
					if time.Duration(steps)*50*time.Millisecond%every == 0 {
						busy.refused.Store(int64(a.clock.Now()))
					}
					time.Sleep(50 * time.Millisecond)
					synctest.Wait()
					limit, _ = published.last.Load().Connections(key, "one")
				}
				if limit <= before || limit > before+permits {
					t.Errorf("after %d steps of 50 ms the proxy may have %d connections, want the %d from before and 1 to %d permits", steps, limit, before, permits)
				}
			})
		})
	}
}
