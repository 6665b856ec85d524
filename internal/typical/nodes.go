package typical

import (
	"net/netip"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/outlier"
)

// The types of resources that the proxies have.
const (
	ClusterType = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	RouteType   = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
)

// Nodes are the proxies: a healthy one, and an outdated one that has refused its routes.
func Nodes() []api.Node {
	start := Start.UTC()
	return []api.Node{
		{ID: "shop-1", Cluster: "shop", Version: "1.40.0", ConnectedSince: start.Add(time.Second), Types: []api.ResourceType{}},
		{
			ID: "shop-2", Cluster: "shop", Version: "1.36.2", ConnectedSince: start.Add(2 * time.Second), Outdated: true, Duplicate: true,
			Types: []api.ResourceType{
				{Type: ClusterType, Resources: 3, LastACK: start.Add(3 * time.Second)},
				{Type: RouteType, Resources: 1, NACK: &api.NACK{
					At: start.Add(3 * time.Second), Resources: []string{"egress"},
					Message: `Only unique names for routes are supported: "payments" <egress>`,
				}},
			},
		},
	}
}

// Outliers are the upstreams whose endpoints are judged for all proxies together. "mirror" has no breaker.
func Outliers() []outlier.Status {
	ejections := func(consecutive, rate uint64) map[outlier.Rule]uint64 {
		return map[outlier.Rule]uint64{outlier.SuccessRate: rate, outlier.Consecutive5xxErrors: consecutive}
	}
	endpoints := func(all ...string) (parsed []netip.AddrPort) {
		for _, e := range all {
			parsed = append(parsed, netip.MustParseAddrPort(e))
		}
		return parsed
	}
	return []outlier.Status{
		{Upstream: "catalog", Endpoints: 3, Ejections: ejections(0, 0)},
		{Upstream: "mirror", Endpoints: 2, Ejected: endpoints("10.0.1.1:80"), Ejections: ejections(0, 1)},
		{Upstream: "stock", Endpoints: 5, Ejected: endpoints("10.0.0.7:8080", "10.0.0.12:8080", "[2001:db8::1]:8080"), Ejections: ejections(4, 1), Detected: 2},
	}
}
