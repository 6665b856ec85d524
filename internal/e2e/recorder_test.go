package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"strings"
	"sync"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/xds"
)

// recorder stands between a proxy and its control plane, passes everything on, and notes which resources the proxy gets that it has.
type recorder struct {
	address string
	control *grpc.ClientConn

	mu        sync.Mutex // guards the following fields
	resources int        // that were sent
	again     []string   // resources that the proxy has and did not ask for again
	refused   []string   // Envoy's messages
}

// record starts a recorder for one proxy of a mesh.
func (m *mesh) record(t *testing.T) *recorder {
	t.Helper()
	control, err := grpc.NewClient(m.ip+":18000", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(bytesCodec{})))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", m.ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{address: l.Addr().String(), control: control}
	s := grpc.NewServer(grpc.ForceServerCodec(bytesCodec{}), grpc.UnknownServiceHandler(r.forward))
	go s.Serve(l)
	t.Cleanup(func() {
		s.Stop()
		control.Close()
	})
	return r
}

// forward passes one call on, in both directions.
func (r *recorder) forward(_ any, proxy grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(proxy)
	ctx, cancel := context.WithCancel(proxy.Context())
	defer cancel()
	md, _ := metadata.FromIncomingContext(ctx)
	control, err := r.control.NewStream(metadata.NewOutgoingContext(ctx, md), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		return err
	}
	var seen *stream
	if path.Base(method) == "DeltaAggregatedResources" {
		seen = &stream{recorder: r, has: map[string]string{}, asked: map[string]bool{}, first: map[string]bool{}}
	}
	go func() {
		defer control.CloseSend()
		for {
			var m []byte
			if proxy.RecvMsg(&m) != nil {
				return
			}
			seen.request(m)
			if control.SendMsg(&m) != nil {
				return
			}
		}
	}()
	for {
		var m []byte
		if err := control.RecvMsg(&m); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		seen.response(m)
		if err := proxy.SendMsg(&m); err != nil {
			return err
		}
	}
}

// stream has the resources of a proxy on one stream. All keys are types and names. A nil stream is for anything else.
type stream struct {
	*recorder
	first map[string]bool   // types that were asked for
	has   map[string]string // versions
	asked map[string]bool   // the proxy has asked for the resource again, or its cluster has changed, so that it may come again
}

func (s *stream) request(m []byte) {
	if s == nil {
		return
	}
	q := &discoveryv3.DeltaDiscoveryRequest{}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := proto.Unmarshal(m, q); err != nil {
		s.refused = append(s.refused, err.Error())
	}
	if q.GetErrorDetail() != nil {
		s.refused = append(s.refused, q.GetErrorDetail().GetMessage())
	}
	for _, name := range q.GetResourceNamesSubscribe() {
		s.asked[q.GetTypeUrl()+" "+name] = s.first[q.GetTypeUrl()]
	}
	if !s.first[q.GetTypeUrl()] {
		for name, version := range q.GetInitialResourceVersions() {
			s.has[q.GetTypeUrl()+" "+name] = version
		}
	}
	s.first[q.GetTypeUrl()] = true
}

func (s *stream) response(m []byte) {
	if s == nil {
		return
	}
	p := &discoveryv3.DeltaDiscoveryResponse{}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := proto.Unmarshal(m, p); err != nil {
		s.again = append(s.again, err.Error())
	}
	if p.GetTypeUrl() == xds.RuntimeType { // a layer is sent again and again
		return
	}
	for _, one := range p.GetResources() {
		key := p.GetTypeUrl() + " " + one.GetName()
		if s.resources++; s.has[key] == one.GetVersion() && !s.asked[key] {
			s.again = append(s.again, fmt.Sprintf("%s in version %s", key[strings.LastIndexByte(key, '.')+1:], one.GetVersion()))
		}
		s.has[key] = one.GetVersion()
		delete(s.asked, key)
		if p.GetTypeUrl() == xds.ClusterType { // Envoy has to get the endpoints of a cluster that changes once more
			s.asked[xds.EndpointType+" "+one.GetName()] = true
		}
	}
	for _, name := range p.GetRemovedResources() {
		delete(s.has, p.GetTypeUrl()+" "+name)
	}
}

// clean fails the test if the proxy got a resource that it had, or has refused any. It returns how many it got.
func (r *recorder) clean(t *testing.T) (resources int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.again) > 0 {
		t.Errorf("%d of %d resources were sent though the proxy had them, the first is %s", len(r.again), r.resources, r.again[0])
	}
	if len(r.refused) > 0 {
		t.Errorf("%d responses were refused, the first with %s", len(r.refused), r.refused[0])
	}
	if r.resources == 0 {
		t.Error("no resource was recorded")
	}
	return r.resources
}
