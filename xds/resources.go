package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"breakwater.dev/xds/internal/message"
)

// The type URLs of the resources, see https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol.
const (
	ClusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	EndpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	SecretType   = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
	ListenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	RouteType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
	RuntimeType  = "type.googleapis.com/envoy.service.runtime.v3.Runtime"
)

// Types are the type URLs in the order that makes before it breaks: a proxy that gets them one after another never has a
// route to a cluster that it does not know.
var Types = []string{ClusterType, EndpointType, SecretType, ListenerType, RouteType, RuntimeType}

// Resource is one Envoy resource, marshaled once and shared by all proxies. It is immutable.
type Resource struct {
	Name string
	// Version is a hash of Body: equal content has equal versions, in every process.
	Version string
	Body    *anypb.Any
	Message proto.Message // the message in Body, which must not be changed
}

// Resources are the resources of one proxy by type URL, sorted by name. They are not safe for concurrent use while some
// are added.
type Resources map[string][]*Resource

// newResource validates and marshals one message.
func newResource(name string, m message.Valid) (*Resource, error) {
	body, err := message.Pack(m)
	if err != nil {
		return nil, fmt.Errorf("resource %q: %w", name, err)
	}
	sum := sha256.Sum256(body.Value)
	return &Resource{Name: name, Version: hex.EncodeToString(sum[:8]), Body: body, Message: m}, nil
}

// add adds a resource. It is an error if there is one of its type and name.
func (rs Resources) add(r *Resource) error {
	url := r.Body.GetTypeUrl()
	at, found := rs.place(url, r.Name)
	if found {
		return fmt.Errorf("two resources of type %s are called %q", url, r.Name)
	}
	rs[url] = slices.Insert(rs[url], at, r)
	return nil
}

// With returns resources in which the given ones take the places of those with their types and names. Given resources
// without such a place are left out. The receiver does not change, and shares all other resources.
func (rs Resources) With(given iter.Seq[*Resource]) Resources {
	next := maps.Clone(rs)
	cloned := map[string]bool{}
	for r := range given {
		url := r.Body.GetTypeUrl()
		at, found := rs.place(url, r.Name)
		if !found {
			continue
		}
		if !cloned[url] {
			next[url], cloned[url] = slices.Clone(rs[url]), true
		}
		next[url][at] = r
	}
	return next
}

// Has reports whether there is a resource of a type and name.
func (rs Resources) Has(typeURL, name string) bool {
	_, found := rs.place(typeURL, name)
	return found
}

// place returns the index of a resource in its type, or the index where it belongs.
func (rs Resources) place(typeURL, name string) (at int, found bool) {
	return slices.BinarySearchFunc(rs[typeURL], name, func(r *Resource, name string) int {
		return strings.Compare(r.Name, name)
	})
}
