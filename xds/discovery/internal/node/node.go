package node

import (
	"fmt"
	"net/netip"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
)

// minimumEnvoy is the first version that lets ext_proc see the replies that Envoy makes itself. An older one hides
// timeouts and connect failures.
var minimumEnvoy = [2]uint32{1, 37}

const (
	// MaxUpstreams is how many upstreams one node's metadata may list.
	MaxUpstreams = 10_000
	// maxMetadata is how many bytes node.metadata may have: as many upstreams with names of some 40 bytes.
	maxMetadata = 512 << 10
)

// Node is a proxy, as it introduced itself.
type Node struct {
	ID      string
	Cluster string // the workload that it belongs to
	Version string // Envoy's, such as "1.40.0"; empty when the proxy did not say
	Listen  netip.AddrPort
	// Upstreams are the names of the upstreams that it calls, sorted, each once; nil: it calls all.
	Upstreams []string
}

// TooOld reports whether the proxy's Envoy is older than what this control plane works with fully. A proxy that does
// not say its version is not too old.
func (n Node) TooOld() bool {
	var major, minor uint32
	if _, err := fmt.Sscanf(n.Version, "%d.%d.", &major, &minor); err != nil {
		return false
	}
	return major < minimumEnvoy[0] || major == minimumEnvoy[0] && minor < minimumEnvoy[1]
}

// Parse reads how a proxy introduces itself.
func Parse(p *corev3.Node) (Node, error) {
	if err := checkID(p.GetId()); err != nil {
		return Node{}, err
	}
	if size := len(p.GetCluster()); size > wire.MaxNodeID {
		return Node{}, fmt.Errorf("node.cluster has %d bytes; must have at most %d", size, wire.MaxNodeID)
	}
	if size := proto.Size(p.GetMetadata()); size > maxMetadata {
		return Node{}, fmt.Errorf("node.metadata has %d bytes; must have at most %d", size, maxMetadata)
	}
	n := Node{ID: p.GetId(), Cluster: p.GetCluster(), Listen: xds.DefaultListen}
	if v := p.GetUserAgentBuildVersion().GetVersion(); v != nil {
		n.Version = fmt.Sprintf("%d.%d.%d", v.GetMajorNumber(), v.GetMinorNumber(), v.GetPatch())
	}
	meta := p.GetMetadata().GetFields()
	if v, ok := meta[wire.MetadataListen]; ok {
		addr, err := netip.ParseAddrPort(v.GetStringValue())
		if err != nil {
			return Node{}, fmt.Errorf("node.metadata[%q] = %.64q; must be an address and port such as %q", wire.MetadataListen, v.GetStringValue(), xds.DefaultListen)
		}
		n.Listen = addr
	}
	if v, ok := meta[wire.MetadataUpstreams]; ok {
		list, ok := v.GetKind().(*structpb.Value_ListValue)
		if !ok {
			return Node{}, fmt.Errorf("node.metadata[%q] is not a list; must be a list of upstreams' names", wire.MetadataUpstreams)
		}
		values := list.ListValue.GetValues()
		if len(values) > MaxUpstreams {
			return Node{}, fmt.Errorf("node.metadata[%q] has %d entries; must be at most %d", wire.MetadataUpstreams, len(values), MaxUpstreams)
		}
		n.Upstreams = make([]string, 0, len(values))
		for i, v := range values {
			name := v.GetStringValue()
			if name == "" {
				return Node{}, fmt.Errorf("node.metadata[%q][%d] is not a name; must be that of an upstream", wire.MetadataUpstreams, i)
			}
			if len(name) > policy.MaxName {
				return Node{}, fmt.Errorf("node.metadata[%q][%d] has %d bytes; must be the name of an upstream, which has at most %d", wire.MetadataUpstreams, i, len(name), policy.MaxName)
			}
			n.Upstreams = append(n.Upstreams, name)
		}
		slices.Sort(n.Upstreams)
		n.Upstreams = slices.Compact(n.Upstreams)
	}
	return n, nil
}

// checkID refuses ids that are empty, too long, or not printable.
func checkID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("node.id = empty; must be the proxy's id: give it with --service-node or in the bootstrap")
	case len(id) > wire.MaxNodeID:
		return fmt.Errorf("node.id has %d bytes; must have at most %d", len(id), wire.MaxNodeID)
	case !wire.ValidNodeID(id):
		return fmt.Errorf("node.id = %q; must be printable", id)
	}
	return nil
}
