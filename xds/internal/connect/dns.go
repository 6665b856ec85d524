package connect

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	clusterdnsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/common/dns/v3"
	dnsclusterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/dns/v3"
	caresv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"breakwater.dev/xds/internal/message"
)

// How long a name server may take to answer. A proxy that starts, or that gets new clusters, goes on only once each name
// has an answer or cannot get one: a silent server would hold up all upstreams that are found without DNS, with Envoy's
// own defaults (5 s, four tries, each twice as long) for 108 s. With these it takes 4 to 5 s for each server in
// /etc/resolv.conf, since IPv4 and then IPv6 is asked for. A lost packet gets one more try at once, and others at the
// failure refresh rate.
const (
	DNSTimeout = time.Second
	DNSTries   = 2
)

// DNS returns the discovery of a cluster that resolves a name and makes each of its addresses an endpoint. It does what the
// type STRICT_DNS did before Envoy deprecated that type's own fields.
func DNS() (*clusterv3.Cluster_ClusterType, error) {
	resolver, err := dnsResolver()
	if err != nil {
		return nil, err
	}
	config, err := message.Pack(&dnsclusterv3.DnsCluster{
		// The record's owner knows how long it holds; a TTL of 0 must not become a storm.
		RespectDnsTtl:     true,
		DnsMinRefreshRate: durationpb.New(time.Second),
		// Until the name first resolves, and for answers without a TTL.
		DnsRefreshRate: durationpb.New(5 * time.Second),
		DnsFailureRefreshRate: &dnsclusterv3.DnsCluster_RefreshRate{
			BaseInterval: durationpb.New(time.Second),
			MaxInterval:  durationpb.New(10 * time.Second),
		},
		// Envoy's default prefers IPv6, which fails where names have such records and
		// the network has no such route.
		DnsLookupFamily:        clusterdnsv3.DnsLookupFamily_V4_PREFERRED,
		TypedDnsResolverConfig: resolver,
	})
	if err != nil {
		return nil, err
	}
	return &clusterv3.Cluster_ClusterType{ClusterType: &clusterv3.Cluster_CustomClusterType{
		Name: "envoy.clusters.dns", TypedConfig: config,
	}}, nil
}

// dnsResolver asks the name servers of the proxy's host. Clusters that do not wait for their names (wait_for_warm_on_init)
// would start as soon, but a cluster that changes would then have no endpoints until its name is resolved again, and
// requests would fail with each change of its policy.
func dnsResolver() (*corev3.TypedExtensionConfig, error) {
	packed, err := message.Pack(&caresv3.CaresDnsResolverConfig{
		QueryTimeoutSeconds: wrapperspb.UInt64(uint64(DNSTimeout / time.Second)),
		QueryTries:          wrapperspb.UInt32(DNSTries),
	})
	if err != nil {
		return nil, err
	}
	return &corev3.TypedExtensionConfig{Name: "envoy.network.dns_resolver.cares", TypedConfig: packed}, nil
}
