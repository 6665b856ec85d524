package xds

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"breakwater.dev/endpoints"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/cluster"
	"breakwater.dev/xds/internal/connect"
	"breakwater.dev/xds/internal/filter"
	"breakwater.dev/xds/internal/listener"
	"breakwater.dev/xds/internal/message"
	"breakwater.dev/xds/internal/route"
)

// DefaultListen is where a proxy listens if its bootstrap does not say: 127.0.0.1 and [wire.EgressPort].
var DefaultListen = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), wire.EgressPort)

// RouteToHost is the longest time that a request takes from choosing its route to choosing a host of the route's cluster:
// in between, it may ask the control plane once, and the threads of a busy proxy are late. A request whose cluster is gone
// by then gets a 503.
const RouteToHost = filter.MessageTimeout + 2*time.Second

// Translate returns all resources for a proxy with its egress listener at listen, except the runtime layer: see [Layers].
// The endpoints are the ones in the set. The resources depend on nothing but the arguments: equal sets give equal versions.
// An error means that the set could not have come from package policy; no resources are returned then.
func Translate(set *policy.Set, listen netip.AddrPort) (Resources, error) {
	rs, _, err := NewTranslation(set).For(nil, listen)
	if err != nil {
		return nil, err
	}
	if rs[EndpointType], err = AllEndpoints(set, endpoints.FromSet(set)); err != nil {
		return nil, err
	}
	return rs, nil
}

// For returns the resources of a proxy that calls the named upstreams, nil: all, and listens there, as [Translate] does. It
// leaves out the endpoints, which do not depend on the policy: see [Endpoints]. The proxy shares most of the resources with
// others; own is the number of bytes that this call had to make and that only some proxies share.
func (t *Translation) For(upstreams []string, listen netip.AddrPort) (rs Resources, own int, err error) {
	set, kind := t.set, "all"
	if upstreams != nil {
		set = Only(set, upstreams)
		kind = fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%q", upstreams))) // short, since it is kept
	}
	d := draft{rs: Resources{}, translation: t}
	for _, u := range set.Upstreams {
		if err := d.addUpstream(u, listen); err != nil {
			return nil, 0, fmt.Errorf("translating upstream %q: %w", u.Name, err)
		}
	}
	if slices.ContainsFunc(set.Upstreams, func(u *policy.Upstream) bool { return len(takeovers(u)) > 0 }) {
		err := d.vary("fallbacks of "+listen.String(), wire.EgressCluster, func() (message.Valid, error) { return connect.Egress(listen) })
		if err != nil {
			return nil, 0, fmt.Errorf("translating the cluster of fallbacks: %w", err)
		}
	}
	if err := d.vary("routes of "+kind, wire.EgressName, func() (message.Valid, error) { return route.Configuration(set) }); err != nil {
		return nil, 0, fmt.Errorf("translating routes: %w", err)
	}
	if err := d.vary("egress of "+listen.String(), wire.EgressName, func() (message.Valid, error) { return listener.Egress(listen) }); err != nil {
		return nil, 0, fmt.Errorf("translating the listener: %w", err)
	}
	return d.rs, d.own, nil
}

// addUpstream adds the resources of one upstream: its cluster, the secret of its certificate, and its own listener if it has
// one.
func (d *draft) addUpstream(u *policy.Upstream, listen netip.AddrPort) error {
	if u.Name == wire.ControlPlaneCluster {
		// The cluster in the bootstrap would win, and requests to the upstream would go to the control plane.
		return errors.New("the name is taken by the control plane's own cluster; give the upstream another one")
	}
	if err := d.share("cluster "+u.Name, u.Name, func() (message.Valid, error) { return cluster.Upstream(u) }); err != nil {
		return err
	}
	if secret := cluster.SecretName(u); secret != "" && !d.rs.Has(SecretType, secret) {
		if err := d.share("secret "+secret, secret, func() (message.Valid, error) { return cluster.Secret(u), nil }); err != nil {
			return err
		}
	}
	if u.Protocol == policy.TCP {
		at := "connections of " + u.Name + " at " + listen.Addr().String()
		return d.vary(at, wire.TCPListener(u.Name), func() (message.Valid, error) { return listener.TCP(u, listen) })
	}
	return nil
}
