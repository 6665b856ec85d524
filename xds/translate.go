package xds

import (
	"errors"
	"fmt"
	"net/netip"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"breakwater.dev/policy"
)

// Names that proxies and control plane have to agree on.
const (
	// EgressName is the name of the listener that applications send to, and of its
	// route configuration.
	EgressName = "egress"
	// ControlPlaneCluster is the cluster by which a proxy reaches the control plane;
	// the bootstrap defines it, listeners refer to it.
	ControlPlaneCluster = policy.ReservedUpstream
	// RuntimeLayer is the name of the runtime layer that the bootstrap asks for.
	RuntimeLayer = "breakwater"
)

// DefaultListen is where a proxy listens whose bootstrap does not say.
var DefaultListen = netip.MustParseAddrPort("127.0.0.1:10000")

// Translate returns every resource of a proxy whose applications send to listen, but for
// its runtime layer, which is of [Gates]. It
// depends on nothing but its arguments: equal sets give equal versions. An error means
// that the set could not have come from [policy.Parse]; nothing is returned then.
func Translate(set *policy.Set, listen netip.AddrPort) (Resources, error) {
	rs := Resources{}
	for _, u := range set.Upstreams {
		if err := rs.addUpstream(u, listen); err != nil {
			return nil, fmt.Errorf("translating upstream %q: %w", u.Name, err)
		}
	}
	if takesOver(set) {
		c, err := egress(listen)
		if err != nil {
			return nil, fmt.Errorf("translating the cluster of fallbacks: %w", err)
		}
		if err := rs.Add(c.Name, c); err != nil {
			return nil, fmt.Errorf("translating the cluster of fallbacks: %w", err)
		}
	}
	routes, err := routeConfiguration(set)
	if err != nil {
		return nil, fmt.Errorf("translating routes: %w", err)
	}
	if err := rs.Add(EgressName, routes); err != nil {
		return nil, fmt.Errorf("translating routes: %w", err)
	}
	l, err := listener(listen)
	if err != nil {
		return nil, fmt.Errorf("translating the listener: %w", err)
	}
	if err := rs.Add(EgressName, l); err != nil {
		return nil, fmt.Errorf("translating the listener: %w", err)
	}
	return rs, nil
}

func (rs Resources) addUpstream(u *policy.Upstream, listen netip.AddrPort) error {
	if u.Name == ControlPlaneCluster {
		// The bootstrap's cluster would stand, and the upstream's calls go to the control plane.
		return errors.New("the name is taken by the control plane's own cluster; give the upstream another one")
	}
	c, err := cluster(u)
	if err != nil {
		return err
	}
	if err := rs.Add(u.Name, c); err != nil {
		return err
	}
	if err := rs.addTrust(u); err != nil {
		return err
	}
	if u.Protocol == policy.TCP {
		l, err := tcpListener(u, listen)
		if err != nil {
			return err
		}
		if err := rs.Add(l.Name, l); err != nil {
			return err
		}
	}
	if u.DNS != nil {
		return nil
	}
	return rs.Add(u.Name, loadAssignment(u))
}

// pack validates m and marshals it with its map entries in order, so that it always
// has the same bytes. The validation of a message does not look into what it packs.
func pack(m interface {
	proto.Message
	ValidateAll() error
}) (*anypb.Any, error) {
	if err := m.ValidateAll(); err != nil {
		return nil, fmt.Errorf("packing %s: %w", typeURL(m), err)
	}
	packed := new(anypb.Any)
	if err := anypb.MarshalFrom(packed, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		return nil, fmt.Errorf("packing %s: %w", typeURL(m), err)
	}
	return packed, nil
}
