package xds

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"

	"google.golang.org/protobuf/proto"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/connect"
)

// DefaultListen is where a proxy listens whose bootstrap does not say.
var DefaultListen = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), wire.EgressPort)

// Translate returns every resource of a proxy whose applications send to listen, but for
// its runtime layer, which is of [Gates]. It
// depends on nothing but its arguments: equal sets give equal versions. An error means
// that the set could not have come from [policy.Parse]; nothing is returned then.
func Translate(set *policy.Set, listen netip.AddrPort) (Resources, error) {
	rs, _, err := NewTranslation(set).For(nil, listen)
	return rs, err
}

// Translation translates one set for proxies of many kinds, which share what is the same for
// them. It is not safe for concurrent use.
type Translation struct {
	set *policy.Set
	// What was made, by what it is made of: what all proxies share, and what those share that
	// listen at the same address or call the same upstreams.
	common, variants map[string]*Resource
	bytes            int // of variants
}

// maxVariants bounds the bytes of variants, which are forgotten beyond it, and made again.
const maxVariants = 16 << 20

// NewTranslation returns a translation of set, which must not be changed.
func NewTranslation(set *policy.Set) *Translation {
	return &Translation{set: set, common: map[string]*Resource{}, variants: map[string]*Resource{}}
}

// For returns every resource of a proxy that calls the named upstreams, nil: all, and listens
// there, as [Translate] does, and how many bytes this call had to make that not every proxy shares.
func (t *Translation) For(upstreams []string, listen netip.AddrPort) (rs Resources, own int, err error) {
	set, kind := t.set, "all"
	if upstreams != nil {
		set = Only(set, upstreams)
		kind = fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%q", upstreams))) // short, since it is kept
	}
	d := draft{rs: Resources{}, of: t}
	for _, u := range set.Upstreams {
		if err := d.addUpstream(u, listen); err != nil {
			return nil, 0, fmt.Errorf("translating upstream %q: %w", u.Name, err)
		}
	}
	if takesOver(set) {
		fallbacks := func() (string, proto.Message, error) {
			c, err := connect.Egress(listen)
			return c.GetName(), c, err
		}
		if err := d.vary("fallbacks of "+listen.String(), fallbacks); err != nil {
			return nil, 0, fmt.Errorf("translating the cluster of fallbacks: %w", err)
		}
	}
	routes := func() (string, proto.Message, error) {
		r, err := routeConfiguration(set)
		return wire.EgressName, r, err
	}
	if err := d.vary("routes of "+kind, routes); err != nil {
		return nil, 0, fmt.Errorf("translating routes: %w", err)
	}
	entrance := func() (string, proto.Message, error) {
		l, err := listener(listen)
		return wire.EgressName, l, err
	}
	if err := d.vary("egress of "+listen.String(), entrance); err != nil {
		return nil, 0, fmt.Errorf("translating the listener: %w", err)
	}
	return d.rs, d.own, nil
}

// draft is what a proxy gets, as far as it is made.
type draft struct {
	rs  Resources
	of  *Translation
	own int
}

type build func() (name string, m proto.Message, err error)

// share adds a resource that all proxies share, and makes it if there is none yet.
func (d *draft) share(parts string, how build) error {
	r, err := made(d.of.common, parts, how)
	if err != nil {
		return err
	}
	return d.rs.add(r)
}

// vary adds a resource that proxies share for whom parts are the same.
func (d *draft) vary(parts string, how build) error {
	r, own, err := d.of.variant(parts, how)
	if err != nil {
		return err
	}
	d.own += own
	return d.rs.add(r)
}

// variant returns a resource that proxies share for whom parts are the same, and how many bytes it had
// to make for that.
func (t *Translation) variant(parts string, how build) (r *Resource, own int, err error) {
	if t.bytes > maxVariants {
		clear(t.variants)
		t.bytes = 0
	}
	before := len(t.variants)
	r, err = made(t.variants, parts, how)
	if err == nil && len(t.variants) > before {
		own = len(parts) + len(r.Body.GetValue())
		t.bytes += own
	}
	return r, own, err
}

func made(all map[string]*Resource, parts string, how build) (*Resource, error) {
	if r := all[parts]; r != nil {
		return r, nil
	}
	name, m, err := how()
	if err != nil {
		return nil, err
	}
	r, err := newResource(name, m)
	if err != nil {
		return nil, err
	}
	all[parts] = r
	return r, nil
}

func (d *draft) addUpstream(u *policy.Upstream, listen netip.AddrPort) error {
	if u.Name == wire.ControlPlaneCluster {
		// The bootstrap's cluster would stand, and the upstream's calls go to the control plane.
		return errors.New("the name is taken by the control plane's own cluster; give the upstream another one")
	}
	err := d.share("cluster "+u.Name, func() (string, proto.Message, error) {
		c, err := cluster(u)
		return u.Name, c, err
	})
	if err != nil {
		return err
	}
	if err := d.addTrust(u); err != nil {
		return err
	}
	if u.Protocol == policy.TCP {
		err := d.vary("connections of "+u.Name+" at "+listen.Addr().String(), func() (string, proto.Message, error) {
			l, err := tcpListener(u, listen)
			return l.GetName(), l, err
		})
		if err != nil {
			return err
		}
	}
	if u.DNS != nil {
		return nil
	}
	return d.share("endpoints "+u.Name, func() (string, proto.Message, error) { return u.Name, loadAssignment(u), nil })
}
