package xds

import (
	"net/netip"
	"time"

	"breakwater.dev/endpoints"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/filter"
	"breakwater.dev/xds/internal/message"
)

// DefaultListen is where a proxy listens if its bootstrap does not say: 127.0.0.1 and [wire.EgressPort].
var DefaultListen = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), wire.EgressPort)

// RouteToHost is the longest time that a request takes from choosing its route to choosing a host of the route's cluster:
// in between, it may ask the control plane once, and the threads of a busy proxy are late. A request whose cluster is gone
// by then gets a 503.
const RouteToHost = filter.MessageTimeout + 2*time.Second

// valid is a message of a resource.
type valid = message.Valid

// Translate returns all resources for a proxy with its egress listener at listen, except the runtime layer: see [Layers].
// The endpoints are the ones in the set. The resources depend on nothing but the arguments: equal sets give equal versions.
// An error means that the set could not have come from package policy; no resources are returned then.
func Translate(set *policy.Set, listen netip.AddrPort) (Resources, error) {
	t, err := NewTranslation(set, Options{})
	if err != nil {
		return nil, err
	}
	rs, err := t.For(nil, listen)
	if err != nil {
		return nil, err
	}
	all, err := AllEndpoints(set, endpoints.FromSet(set))
	if err != nil {
		return nil, err
	}
	var pool *Pool
	rs[EndpointType] = pool.List(all)
	return rs, nil
}
