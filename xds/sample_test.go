package xds

import (
	"fmt"
	"net/netip"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
)

// drawSet draws any set that a policy could compile to.
func drawSet(t *rapid.T) *policy.Set {
	set := &policy.Set{}
	for i := range rapid.IntRange(0, 6).Draw(t, "upstreams") {
		set.Upstreams = append(set.Upstreams, drawUpstream(t, fmt.Sprintf("u%d", i)))
	}
	return set
}

func drawUpstream(t *rapid.T, name string) *policy.Upstream {
	u := &policy.Upstream{
		Name:     name,
		Hosts:    []string{name, name + ".shop.svc"},
		Protocol: rapid.SampledFrom([]policy.Protocol{policy.HTTP1, policy.HTTP2, policy.GRPC}).Draw(t, "protocol"),
		LoadBalancing: policy.LoadBalancing{
			Policy:         drawBalancer(t),
			PanicThreshold: drawRatio(t),
		},
		Limits: policy.ConnectionLimits{
			Default: drawLimits(t), High: drawLimits(t),
			PerEndpointMaxConnections: rapid.Uint32().Draw(t, "perEndpoint"),
		},
		Routes: append(drawRoutes(t, name), drawRoute(t, name, "")),
	}
	if rapid.Bool().Draw(t, "dns") {
		u.DNS = &policy.DNS{Name: name + ".example", Port: drawPort(t)}
	} else {
		u.Endpoints = rapid.SliceOfN(rapid.Custom(drawEndpoint), 1, 5).Draw(t, "endpoints")
	}
	if rapid.Bool().Draw(t, "tls") {
		u.TLS = &policy.TLS{SNI: rapid.SampledFrom([]string{name, "10.0.0.1", "::1"}).Draw(t, "sni")}
	}
	if rapid.Bool().Draw(t, "healthCheck") {
		u.HealthCheck = &policy.HealthCheck{
			Path: "/healthz", Interval: drawDuration(t), Timeout: drawDuration(t),
			UnhealthyThreshold: 3, HealthyThreshold: 2,
		}
	}
	if rapid.Bool().Draw(t, "outlier") {
		u.Outlier = drawOutlier(t)
	}
	return u
}

func drawBalancer(t *rapid.T) policy.LoadBalancingPolicy {
	return rapid.SampledFrom([]policy.LoadBalancingPolicy{
		policy.RoundRobin, policy.LeastRequest, policy.Random,
	}).Draw(t, "balancer")
}

func drawEndpoint(t *rapid.T) policy.Endpoint {
	ip := rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "ip")
	return policy.Endpoint{
		Address: netip.AddrFrom4([4]byte(ip)),
		Port:    drawPort(t),
		Weight:  rapid.Uint32Range(1, 1000).Draw(t, "weight"),
		Zone:    rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "zone"),
	}
}

func drawLimits(t *rapid.T) policy.Limits {
	l := policy.Limits{
		MaxConnections:     rapid.Uint32().Draw(t, "maxConnections"),
		MaxPendingRequests: rapid.Uint32().Draw(t, "maxPendingRequests"),
		MaxRequests:        rapid.Uint32().Draw(t, "maxRequests"),
		MaxRetries:         rapid.Uint32().Draw(t, "maxRetries"),
		MaxConnectionPools: rapid.Uint32().Draw(t, "maxConnectionPools"),
		TrackRemaining:     rapid.Bool().Draw(t, "trackRemaining"),
	}
	if rapid.Bool().Draw(t, "budget") {
		l.RetryBudget = &policy.RetryBudget{
			Percent: drawRatio(t), MinConcurrency: rapid.Uint32().Draw(t, "minConcurrency"), Interval: drawDuration(t),
		}
	}
	return l
}

func drawOutlier(t *rapid.T) *outlier.Config {
	c := fullOutlier()
	c.Consecutive5xxErrors = rapid.Uint32().Draw(t, "consecutive5xx")
	c.EnforcingSuccessRate = outlier.Percent(rapid.Uint32Range(0, 100).Draw(t, "enforcingSuccessRate"))
	return &c
}

func drawRoutes(t *rapid.T, upstream string) []policy.Route {
	var routes []policy.Route
	for i := range rapid.IntRange(0, 3).Draw(t, "routes") {
		routes = append(routes, drawRoute(t, upstream, fmt.Sprintf("r%d", i)))
	}
	return routes
}

func drawRoute(t *rapid.T, upstream, name string) policy.Route {
	r := policy.Route{Name: name, Timeout: drawDuration(t)}
	if name != "" {
		r.Match = policy.Match{
			Path:       rapid.SampledFrom([]string{"", "/charge"}).Draw(t, "path"),
			PathPrefix: rapid.SampledFrom([]string{"", "/", "/charge", "/charge/"}).Draw(t, "prefix"),
			Methods:    rapid.SampledFrom([][]string{nil, {"POST"}, {"GET", "M-SEARCH"}}).Draw(t, "methods"),
		}
	}
	if rapid.Bool().Draw(t, "breaker") {
		r.Breaker = &policy.Breaker{
			Spec: breaker.Spec{
				Key:     breaker.Key{Upstream: upstream, Route: name},
				Config:  breaker.Config{Mode: rapid.SampledFrom(modes).Draw(t, "mode")},
				PerNode: rapid.Bool().Draw(t, "perNode"),
			},
			FailOpen: rapid.Bool().Draw(t, "failOpen"),
			DataPath: rapid.SampledFrom([]policy.DataPath{policy.Adaptive, policy.Inline}).Draw(t, "dataPath"),
			Fallback: rapid.SampledFrom(fallbacks()).Draw(t, "fallback"),
		}
	}
	return r
}

var modes = []breaker.Mode{breaker.Enforce, breaker.MetricsOnly, breaker.ForcedOpen, breaker.Disabled}

func drawDuration(t *rapid.T) time.Duration {
	return rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 10 * time.Minute}).Draw(t, "duration")
}

func drawRatio(t *rapid.T) breaker.Ratio {
	return breaker.Ratio(rapid.Uint32Range(0, uint32(breaker.Whole)).Draw(t, "ratio"))
}

func drawPort(t *rapid.T) uint16 { return rapid.Uint16Range(1, 65535).Draw(t, "port") }

// fullOutlier returns a configuration with no field at zero.
func fullOutlier() outlier.Config {
	return outlier.Config{
		Consecutive5xxErrors: 1, EnforcingConsecutive5xxErrors: 2,
		ConsecutiveGatewayErrors: 3, EnforcingConsecutiveGatewayErrors: 4,
		SplitExternalLocalOriginErrors: true,
		ConsecutiveLocalOriginFailures: 5, EnforcingConsecutiveLocalOriginFailures: 6,
		EnforcingLocalOriginSuccessRate: 7,
		Interval:                        8 * time.Second,
		BaseEjectionTime:                9 * time.Second,
		MaxEjectionTime:                 10 * time.Second,
		MaxEjectionTimeJitter:           11 * time.Second,
		MaxEjectionPercent:              12,
		AlwaysEjectOneEndpoint:          true,
		SuccessRateMinimumEndpoints:     13, SuccessRateRequestVolume: 14, SuccessRateStdevFactor: 15,
		EnforcingSuccessRate:       16,
		FailurePercentageThreshold: 17, FailurePercentageMinimumEndpoints: 18, FailurePercentageRequestVolume: 19,
		EnforcingFailurePercentage: 20, EnforcingFailurePercentageLocalOrigin: 21,
		SuccessfulActiveHealthCheckUnejectsEndpoint: true,
		DetectDegradedEndpoints:                     true,
	}
}

func fullLimits() policy.Limits {
	return policy.Limits{
		MaxConnections: 1, MaxPendingRequests: 2, MaxRequests: 3, MaxRetries: 4, MaxConnectionPools: 5,
		TrackRemaining: true,
		RetryBudget:    &policy.RetryBudget{Percent: 2_050, MinConcurrency: 6, Interval: time.Second},
	}
}

// sampleSet has every feature once, in few upstreams.
func sampleSet() *policy.Set {
	limits := policy.ConnectionLimits{Default: fullLimits(), High: fullLimits(), PerEndpointMaxConnections: 7}
	outliers := fullOutlier()
	check := &policy.HealthCheck{
		Path: "/healthz", Interval: 5 * time.Second, Timeout: time.Second, UnhealthyThreshold: 3, HealthyThreshold: 2,
	}
	endpoints := []policy.Endpoint{
		{Address: netip.MustParseAddr("10.0.0.7"), Port: 8080, Weight: 1, Zone: "a"},
		{Address: netip.MustParseAddr("fd00::8"), Port: 8080, Weight: 3, Zone: "b"},
		{Address: netip.MustParseAddr("10.0.0.9"), Port: 8081, Weight: 1, Zone: "a"},
	}
	guard := func(upstream, route string) *policy.Breaker {
		return &policy.Breaker{Spec: breaker.Spec{Key: breaker.Key{Upstream: upstream, Route: route}}, FailOpen: true}
	}
	return &policy.Set{Upstreams: []*policy.Upstream{
		{
			Name: "ledger", Hosts: []string{"ledger", "*.ledger.svc"}, Protocol: policy.GRPC,
			DNS: &policy.DNS{Name: "localhost", Port: 9090}, TLS: &policy.TLS{SNI: "ledger.example"},
			HealthCheck: check, LoadBalancing: policy.LoadBalancing{Policy: policy.RoundRobin, PanicThreshold: 2_550},
			Limits: limits,
			Routes: []policy.Route{{Timeout: 5 * time.Second, Breaker: guard("ledger", "")}},
		},
		{
			Name: "payments", Hosts: []string{"payments", "payments.shop.svc"}, Protocol: policy.HTTP1,
			Endpoints: endpoints, TLS: &policy.TLS{SNI: "10.0.0.7"}, HealthCheck: check, Outlier: &outliers,
			LoadBalancing: policy.LoadBalancing{Policy: policy.LeastRequest}, Limits: limits,
			Routes: []policy.Route{
				{Name: "charge", Match: policy.Match{PathPrefix: "/charge", Methods: []string{"POST", "PUT"}},
					Timeout: time.Second, Breaker: guard("payments", "charge")},
				{Name: "events", Match: policy.Match{Path: "/events", Methods: []string{"GET"}}},
				{Timeout: 10 * time.Second, Breaker: guard("payments", "")},
			},
		},
		{
			Name: "search", Hosts: []string{"search"}, Protocol: policy.HTTP2, Endpoints: endpoints[:1],
			HealthCheck: check, LoadBalancing: policy.LoadBalancing{Policy: policy.Random}, Limits: limits,
			Routes: []policy.Route{{Timeout: 10 * time.Second}},
		},
	}}
}

// sampleUpstream returns an upstream of a new sampleSet.
func sampleUpstream(name string) *policy.Upstream {
	return sampleSet().Upstream(name)
}

// fallbacks are one of each kind.
func fallbacks() []policy.Fallback {
	response := policy.Response{Status: 503, ContentType: "text/plain", Body: "closed: 100%", Headers: []policy.Header{{Name: "x-why", Value: "5% %"}}}
	return []policy.Fallback{
		{Response: response},
		{Response: response, Upstream: &policy.FallbackUpstream{Name: "backup", Host: "backup.internal"}},
		{Response: response, Cached: &policy.Cached{TTL: time.Minute, MaxEntries: 10, MaxBytes: 1 << 20, MaxBodyBytes: 1 << 10}},
	}
}
