package policy

import (
	"net/netip"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/outlier"
)

// MaxName is the longest name of an upstream, in bytes.
const MaxName = longestName

// Set is a whole policy, compiled. Every field is resolved: what a file left out
// has its default, what a less specific policy gave is merged in.
type Set struct {
	// Revision is a hash of what the set means: equal for files that differ only in
	// comments, order or layout.
	Revision string
	// Upstreams are sorted by name.
	Upstreams []*Upstream
	// Policies are the BreakerPolicy documents the set was made of, in order of file and line.
	Policies []Origin
	notes    []string // found while it was compiled
}

// Origin is the document that something was written in.
type Origin struct {
	Name string // metadata.name
	File string
	Line int
}

// Upstream is a service that others call.
type Upstream struct {
	Name     string
	Origin   Origin
	Hosts    []string // the authorities that reach it, sorted; at least one, none for TCP
	Protocol Protocol
	// Callers are the workloads whose proxies may call it, by their node.cluster, sorted; empty: every
	// workload. Who may call another upstream may be sent here by its fallback.
	Callers []string
	// Exactly one of Endpoints and DNS is set.
	Endpoints []Endpoint
	DNS       *DNS

	TLS           *TLS         // nil: plain text
	HealthCheck   *HealthCheck // nil: none
	LoadBalancing LoadBalancing
	Limits        ConnectionLimits `json:"connectionLimits"`
	Outlier       *outlier.Config  `json:"outlierDetection"` // nil: off
	// Port is where the proxy listens for an upstream that speaks TCP; else 0.
	Port uint16
	// Routes are matched in order. The last one has no name and matches all that
	// is left, so there is always at least one.
	Routes []Route
}

// Protocol is what an upstream speaks.
type Protocol string

// The protocols.
const (
	HTTP1 Protocol = "HTTP1"
	HTTP2 Protocol = "HTTP2"
	GRPC  Protocol = "GRPC"
	TCP   Protocol = "TCP" // anything else: calls are connections
)

// Endpoint is one instance of an upstream.
type Endpoint struct {
	Address netip.Addr
	Port    uint16
	Weight  uint32 // at least 1
	Zone    string // empty: unknown
}

// DNS finds endpoints by name.
type DNS struct {
	Name string
	Port uint16
}

// TLS is how the proxy secures its connections to an upstream.
type TLS struct {
	SNI string
	// CAFile is a path on the proxy's own file system; empty trusts the proxy's system store.
	CAFile string
}

// HealthCheck is active health checking by the proxy. Path is empty for protocol
// GRPC, which uses grpc.health.v1.
type HealthCheck struct {
	Path               string
	Interval           time.Duration
	Timeout            time.Duration
	UnhealthyThreshold uint32
	HealthyThreshold   uint32
}

// LoadBalancing is how the proxy chooses an endpoint.
type LoadBalancing struct {
	Policy LoadBalancingPolicy
	// PanicThreshold is the share of healthy endpoints below which the proxy sends to
	// unhealthy and ejected ones too; 0 never does.
	PanicThreshold breaker.Ratio
}

// LoadBalancingPolicy names an algorithm.
type LoadBalancingPolicy string

// The load balancing policies.
const (
	RoundRobin   LoadBalancingPolicy = "RoundRobin"
	LeastRequest LoadBalancingPolicy = "LeastRequest"
	Random       LoadBalancingPolicy = "Random"
	RingHash     LoadBalancingPolicy = "RingHash"
	Maglev       LoadBalancingPolicy = "Maglev"
)

// ConnectionLimits are Envoy's CircuitBreakers: limits on concurrency, for each
// of its two priorities, and per endpoint.
type ConnectionLimits struct {
	Default, High Limits
	// PerEndpointMaxConnections is Envoy's only per-host limit; 0: none.
	PerEndpointMaxConnections uint32
}

// Limits are Envoy's CircuitBreakers.Thresholds of one priority. 0 lets nothing through.
type Limits struct {
	MaxConnections     uint32
	MaxPendingRequests uint32
	MaxRequests        uint32
	// MaxRetries counts only where RetryBudget is nil.
	MaxRetries  uint32
	RetryBudget *RetryBudget
	// MaxConnectionPools; 0: unlimited.
	MaxConnectionPools uint32
	// TrackRemaining publishes what is left of each limit as statistics of the proxy.
	TrackRemaining bool
}

// RetryBudget bounds retries by the number of active requests.
type RetryBudget struct {
	Percent        breaker.Ratio
	MinConcurrency uint32
	Interval       time.Duration // 0: only the requests active now count
}

// Route is a part of an upstream's traffic.
type Route struct {
	// Name is empty for the last route, which takes what no other matched.
	Name  string
	Match Match
	// Timeout bounds the whole call, from the end of the request to the end of the response;
	// 0: a call may take any time. For protocol TCP it bounds how long it may take to establish
	// the connection; 0: as long as the proxy's default, 2 s.
	Timeout time.Duration
	// ResponseHeaderTimeout bounds how long the service may take from the end of the request
	// to the first headers of its response; 0: only Timeout bounds it. Where both are above 0
	// it is the shorter one. For protocol TCP it is 0.
	ResponseHeaderTimeout time.Duration
	// IdleTimeout bounds how long nothing may move in either direction, at any time of the call;
	// 0: the policy does not say. It is longer than what bounds the time to the first headers.
	// For protocol TCP it is 0.
	IdleTimeout time.Duration
	// Breaker is nil where no policy asks for one. A route that no policy targets by
	// its name shares the breaker of the last one: it is the same pointer and key.
	Breaker *Breaker
}

// Match is what a request must be like. At most one of Path and PathPrefix is set.
type Match struct {
	Path       string
	PathPrefix string
	Methods    []string // sorted; empty: any
}

// DataPath is where a breaker is enforced.
type DataPath string

// The data paths.
const (
	// Adaptive costs nothing while the breaker is closed: the proxy tells of outcomes
	// afterwards, and rejects by itself as long as it is told to.
	Adaptive DataPath = "Adaptive"
	// Inline asks the control plane about every call.
	Inline DataPath = "Inline"
)

// Breaker is a breaker with all that stands around it.
type Breaker struct {
	Spec     breaker.Spec
	DataPath DataPath
	Classify *Classifier
	Fallback Fallback
	// FailOpen lets calls through when the control plane does not answer.
	FailOpen bool
	// Origins are the policies that shaped it, the most specific first.
	Origins []Origin
}

// Fallback is what a rejected caller gets: the response, unless one of the others has better.
type Fallback struct {
	Response Response
	Upstream *FallbackUpstream // nil: no other takes over
	Cached   *Cached           // nil: proxies keep no copies; never together with Upstream
}

// FallbackUpstream takes calls over, as calls of its own: with its own breakers, limits
// and timeout.
type FallbackUpstream struct {
	Name string
	// Host is one of its hosts, and replaces the call's.
	Host string
}

// Cached says which copies of good responses to GET requests a proxy keeps. What is not in
// them gets the response of the fallback.
type Cached struct {
	TTL time.Duration
	// MaxEntries and MaxBytes bound the copies of one worker of a proxy; the oldest go first.
	MaxEntries uint32
	MaxBytes   uint64
	// MaxBodyBytes bounds one of them; larger responses are not kept.
	MaxBodyBytes uint64
	// WithCredentials keeps responses to requests with credentials too. Each is then for
	// requests with the same ones.
	WithCredentials bool
	// KeyHeaders are the request headers, in lower case and sorted, that have to be the same
	// for a copy to answer, beside method, host, path and credentials. ["*"], the default, is
	// all of them but those that only trace a call or end at the next hop.
	KeyHeaders []string
}

// Response is an answer of the proxy's own.
type Response struct {
	Status      int
	ContentType string
	Body        string
	Headers     []Header // sorted by name
}

// Header is one response header; names are lower case.
type Header struct{ Name, Value string }

// Specs returns every breaker of the set, each once, by upstream and then in order of routes.
func (s *Set) Specs() []breaker.Spec {
	var specs []breaker.Spec
	for _, u := range s.Upstreams {
		seen := map[*Breaker]bool{nil: true}
		for _, r := range u.Routes {
			if !seen[r.Breaker] {
				seen[r.Breaker] = true
				specs = append(specs, r.Breaker.Spec)
			}
		}
	}
	return specs
}
