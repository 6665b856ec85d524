package fleet

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/bench/fleet/internal/xdswire"
)

// scripted is a control plane that sends what a test says, and writes down what a proxy asks and answers.
type scripted struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	runtimev3.UnimplementedRuntimeDiscoveryServiceServer
	t *testing.T

	mu        sync.Mutex
	resources map[string]map[string]*discoveryv3.Resource // by type URL and name
	streams   map[*scriptedStream]bool
	asked     []string        // one line for each request
	answered  map[string]bool // by the nonce of the response
	node      int             // the size of the node in the first request
	pending   int             // responses that were not answered
	sent      map[string]int  // responses by type URL and the names in the first request, which name them
}

// scriptedStream is a stream of either service, in either variant of the protocol.
type scriptedStream struct {
	name  string
	asked map[string]bool // the types
	wants map[string]map[string]bool
	send  chan *discoveryv3.DeltaDiscoveryResponse
	cut   chan struct{}
}

// listen serves the control plane until the test ends, and returns its address.
func (s *scripted) listen(t *testing.T) string {
	s.t, s.resources, s.streams, s.answered, s.sent = t, map[string]map[string]*discoveryv3.Resource{}, map[*scriptedStream]bool{}, map[string]bool{}, map[string]int{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, s)
	runtimev3.RegisterRuntimeDiscoveryServiceServer(server, s)
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(l) }) // the error says that it was stopped
	t.Cleanup(func() {
		server.Stop()
		running.Wait()
	})
	return l.Addr().String()
}

func (s *scripted) DeltaAggregatedResources(st discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.serve("ADS", st)
}

func (s *scripted) DeltaRuntime(st runtimev3.RuntimeDiscoveryService_DeltaRuntimeServer) error {
	return s.serve("RTDS", st)
}

// deltaStream is the part of a stream that both services have.
type deltaStream interface {
	Recv() (*discoveryv3.DeltaDiscoveryRequest, error)
	Send(*discoveryv3.DeltaDiscoveryResponse) error
}

// serve serves a stream until the proxy or the test ends it.
func (s *scripted) serve(name string, st deltaStream) error {
	stream := &scriptedStream{name: name, asked: map[string]bool{}, wants: map[string]map[string]bool{}, send: make(chan *discoveryv3.DeltaDiscoveryResponse, 100), cut: make(chan struct{})}
	s.mu.Lock()
	s.streams[stream] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.streams, stream)
	}()
	failed := make(chan error, 1)
	go func() {
		for {
			r, err := st.Recv()
			if err != nil {
				failed <- err
				return
			}
			s.take(stream, r)
		}
	}()
	for {
		select {
		case r := <-stream.send:
			if err := st.Send(r); err != nil {
				return err
			}
		case err := <-failed:
			return err
		case <-stream.cut:
			return nil
		}
	}
}

// take writes a request down, and sends the resources that it asks for.
func (s *scripted) take(stream *scriptedStream, r *discoveryv3.DeltaDiscoveryRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, stream.name+" "+line(r, !stream.asked[r.GetTypeUrl()]))
	if r.GetNode() != nil && s.node == 0 {
		s.node = proto.Size(r.GetNode())
	}
	if nonce := r.GetResponseNonce(); nonce != "" {
		s.answered[nonce] = true
		s.pending--
	}
	first := !stream.asked[r.GetTypeUrl()]
	stream.asked[r.GetTypeUrl()] = true
	if stream.wants[r.GetTypeUrl()] == nil {
		stream.wants[r.GetTypeUrl()] = map[string]bool{}
	}
	for _, name := range r.GetResourceNamesSubscribe() {
		stream.wants[r.GetTypeUrl()][name] = true
	}
	var send []*discoveryv3.Resource
	for name, resource := range s.resources[r.GetTypeUrl()] {
		wanted := slices.Contains(r.GetResourceNamesSubscribe(), name) || first && len(r.GetResourceNamesSubscribe()) == 0
		if wanted && r.GetInitialResourceVersions()[name] != resource.GetVersion() {
			send = append(send, resource)
		}
	}
	if len(send) > 0 {
		slices.SortFunc(send, func(a, b *discoveryv3.Resource) int { return cmp.Compare(a.GetName(), b.GetName()) })
		s.respond(stream, r.GetTypeUrl(), send, nil)
	}
}

// short returns the name of a type without its package.
func short(typeURL string) string { return typeURL[strings.LastIndexByte(typeURL, '.')+1:] }

// line is a request in one line, without what differs between proxies.
func line(r *discoveryv3.DeltaDiscoveryRequest, first bool) string {
	parts := []string{short(r.GetTypeUrl())}
	if r.GetNode() != nil {
		parts = append(parts, "node "+r.GetNode().GetId())
	}
	if first {
		parts = append(parts, "first")
	}
	add := func(what string, names []string) {
		if len(names) > 0 {
			slices.Sort(names)
			parts = append(parts, what+" "+strings.Join(names, ","))
		}
	}
	add("subscribe", r.GetResourceNamesSubscribe())
	add("unsubscribe", r.GetResourceNamesUnsubscribe())
	var versions []string
	for name, version := range r.GetInitialResourceVersions() {
		versions = append(versions, name+"="+version)
	}
	add("has", versions)
	if r.GetResponseNonce() != "" {
		parts = append(parts, "answers "+r.GetResponseNonce())
	}
	if r.GetErrorDetail() != nil {
		parts = append(parts, "refuses")
	}
	return strings.Join(parts, " ")
}

// respond queues a response on a stream. The caller holds s.mu.
func (s *scripted) respond(stream *scriptedStream, typeURL string, resources []*discoveryv3.Resource, removed []string) (nonce string) {
	about := short(typeURL)
	if stream.name == "RTDS" {
		about += " " + strings.Join(slices.Collect(maps.Keys(stream.wants[typeURL])), ",")
	}
	s.sent[about]++
	nonce = fmt.Sprintf("%s %d", about, s.sent[about])
	s.pending++
	stream.send <- &discoveryv3.DeltaDiscoveryResponse{TypeUrl: typeURL, Nonce: nonce, Resources: resources, RemovedResources: removed}
	return nonce
}

// add adds resources, or replaces them, and sends nothing.
func (s *scripted) add(resources ...*discoveryv3.Resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	typeURL := resources[0].GetResource().GetTypeUrl()
	for _, r := range resources {
		if s.resources[typeURL] == nil {
			s.resources[typeURL] = map[string]*discoveryv3.Resource{}
		}
		s.resources[typeURL][r.GetName()] = r
	}
}

// put is add, and sends the resources to the streams that have asked for the type. It returns the nonce of the last response.
func (s *scripted) put(resources ...*discoveryv3.Resource) (nonce string) {
	s.add(resources...)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.toAll(resources[0].GetResource().GetTypeUrl(), resources, nil)
}

// again sends a resource without changing it.
func (s *scripted) again(typeURL string, r *discoveryv3.Resource) (nonce string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.toAll(typeURL, []*discoveryv3.Resource{r}, nil)
}

// remove removes resources.
func (s *scripted) remove(typeURL string, names ...string) (nonce string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		delete(s.resources[typeURL], name)
	}
	return s.toAll(typeURL, nil, names)
}

func (s *scripted) toAll(typeURL string, resources []*discoveryv3.Resource, removed []string) (nonce string) {
	for stream := range s.streams {
		concerned := stream.name == "ADS" || slices.ContainsFunc(resources, func(r *discoveryv3.Resource) bool { return stream.wants[typeURL][r.GetName()] })
		if stream.asked[typeURL] && concerned {
			nonce = s.respond(stream, typeURL, resources, removed)
		}
	}
	return nonce
}

// cutAll ends all streams.
func (s *scripted) cutAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for stream := range s.streams {
		close(stream.cut)
		delete(s.streams, stream)
	}
}

// log returns the requests so far, and begins a new list.
func (s *scripted) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// has reports whether a response was answered.
func (s *scripted) has(nonce string) func() bool {
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.answered[nonce]
	}
}

// askedFor reports whether all types were asked for, on a number of streams that are open.
func (s *scripted) askedFor(streams int) func() bool {
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		open, asking := map[string]bool{}, 0
		for stream := range s.streams {
			maps.Copy(open, stream.asked)
			if len(stream.asked) > 0 {
				asking++
			}
		}
		return asking == streams && !slices.ContainsFunc(allTypes, func(typeURL string) bool { return !open[typeURL] })
	}
}

// settled reports whether all responses were answered.
func (s *scripted) settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pending == 0
}

// patience bounds every wait for something that must happen.
const patience = 30 * time.Second

// await waits for a condition.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// resource packs a resource. A TTL of 0 is none.
func resource(t *testing.T, name, version string, m proto.Message, ttl time.Duration) *discoveryv3.Resource {
	t.Helper()
	body, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	r := &discoveryv3.Resource{Name: name, Version: version, Resource: body}
	if ttl > 0 {
		r.Ttl = durationpb.New(ttl)
	}
	return r
}

// allTypes are the types that a proxy asks for here.
var allTypes = []string{xdswire.Runtime, xdswire.Cluster, xdswire.Endpoint, xdswire.Listener, xdswire.Route, xdswire.VirtualHost}
