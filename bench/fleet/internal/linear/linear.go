// Package linear serves resources from the linear caches of go-control-plane, to compare them with our own server.
//
// In: resources as bytes, and changes of them over HTTP.
// Out: the discovery services for proxies.
// Called by: the benchmark of fleets, which runs it in a process of its own.
// Never: makes resources, or changes their bytes in any way that a proxy could notice.
// Concurrency: safe for concurrent use.
package linear

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	_ "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3" // the types of resources that are decoded
	_ "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/types/known/anypb"
)

// Resource is a resource, or the removal of one.
type Resource struct {
	TypeURL string
	Name    string
	Body    []byte // nil: it is removed
}

// Write writes resources to a file, for [Serve].
func Write(path string, resources []Resource) error {
	var out bytes.Buffer
	if err := gob.NewEncoder(&out).Encode(resources); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o600)
}

// Serve serves the resources in a file to proxies at the address xds, and takes changes at the address admin, until ctx
// ends.
func Serve(ctx context.Context, path, xds, admin string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var resources []Resource
	if err := gob.NewDecoder(bytes.NewReader(text)).Decode(&resources); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	caches, err := newCaches(resources)
	if err != nil {
		return err
	}
	proxies, err := net.Listen("tcp", xds)
	if err != nil {
		return err
	}
	people, err := net.Listen("tcp", admin)
	if err != nil {
		return errors.Join(err, proxies.Close())
	}
	// As our server does, it allows the pings that the bootstrap asks for.
	g := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}))
	s := server.NewServer(ctx, caches.mux(), server.CallbackFuncs{})
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s)
	runtimev3.RegisterRuntimeDiscoveryServiceServer(g, s)
	web := &http.Server{Handler: caches}
	failed := make(chan error, 2)
	go func() { failed <- g.Serve(proxies) }()
	go func() { failed <- web.Serve(people) }()
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	g.Stop()
	return errors.Join(err, web.Close())
}

// caches are linear caches by type URL. A POST request with resources changes them; any other request gets status 200.
type caches map[string]*cache.LinearCache

// served are the types that proxies ask for, whether there are resources or not.
var served = []string{
	"envoy.config.cluster.v3.Cluster", "envoy.config.endpoint.v3.ClusterLoadAssignment", "envoy.config.listener.v3.Listener",
	"envoy.config.route.v3.RouteConfiguration", "envoy.config.route.v3.VirtualHost",
	"envoy.extensions.transport_sockets.tls.v3.Secret", "envoy.service.runtime.v3.Runtime",
}

func newCaches(resources []Resource) (caches, error) {
	first := map[string]map[string]types.Resource{}
	for _, r := range resources {
		message, err := r.message()
		if err != nil {
			return nil, err
		}
		if first[r.TypeURL] == nil {
			first[r.TypeURL] = map[string]types.Resource{}
		}
		first[r.TypeURL][r.Name] = message
	}
	c := caches{}
	for _, name := range served {
		typeURL := "type.googleapis.com/" + name
		c[typeURL] = cache.NewLinearCache(typeURL, cache.WithInitialResources(first[typeURL]))
	}
	return c, nil
}

func (r Resource) message() (types.Resource, error) {
	message, err := (&anypb.Any{TypeUrl: r.TypeURL, Value: r.Body}).UnmarshalNew()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.TypeURL, r.Name, err)
	}
	return message, nil
}

func (c caches) mux() cache.Cache {
	m := &cache.MuxCache{
		Classify:      func(r *cache.Request) string { return r.GetTypeUrl() },
		ClassifyDelta: func(r *cache.DeltaRequest) string { return r.GetTypeUrl() },
		Caches:        map[string]cache.Cache{},
	}
	for typeURL, linear := range c {
		m.Caches[typeURL] = linear
	}
	return m
}

func (c caches) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		return
	}
	var changes []Resource
	err := gob.NewDecoder(r.Body).Decode(&changes)
	if err == nil {
		err = c.apply(changes)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

// apply makes changes one after another, as a user of the caches would.
func (c caches) apply(changes []Resource) error {
	for _, r := range changes {
		linear := c[r.TypeURL]
		if linear == nil {
			return fmt.Errorf("there is no cache for %s", r.TypeURL)
		}
		if r.Body == nil {
			if err := linear.DeleteResource(r.Name); err != nil {
				return err
			}
			continue
		}
		message, err := r.message()
		if err != nil {
			return err
		}
		if err := linear.UpdateResource(r.Name, message); err != nil {
			return err
		}
	}
	return nil
}

// Change has the server whose address for changes is admin make changes. It returns when they are made.
func Change(ctx context.Context, admin string, changes []Resource) error {
	var out bytes.Buffer
	if err := gob.NewEncoder(&out).Encode(changes); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+admin+"/", &out)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the linear caches take no change: %s", response.Status)
	}
	return nil
}
