package policy

import (
	"fmt"
	"net/netip"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/outlier"
)

// MaxName is the longest name of an upstream, in bytes.
const MaxName = longestName

// Set is a compiled policy. Every field is resolved: a field that no object has is at its default, and
// values of less specific policies are merged in. A set never changes after [Compile] or [CompileAll]
// returned it, so any number of goroutines can read it.
type Set struct {
	// Revision is a hash of the meaning of the set: it is equal for objects that differ only in comments,
	// order or layout.
	Revision string
	// Upstreams are sorted by name.
	Upstreams []*Upstream
	// Policies are the BreakerPolicy objects that are in force, in order of file and line.
	Policies []Origin
	notes    []string       // found while it was compiled, in order, each once
	specs    []breaker.Spec // computed once; nil: the set was not compiled
}

// Origin is the object that a part of a set comes from.
type Origin struct {
	Name string // metadata.name
	File string // or the id of an object that is not from a file
	Line int    // from 1; 0 if the object is not from a file
}

// Place returns "file:line", or File alone if there is no line.
func (o Origin) Place() string {
	if o.Line == 0 {
		return o.File
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}

// Upstream is a service that other services call.
type Upstream struct {
	Name     string
	Origin   Origin
	Hosts    []string // the authorities that reach it, sorted; at least one, none for TCP
	Protocol Protocol
	// Callers are the workloads whose proxies may call it, by their node.cluster, sorted; empty: every
	// workload. Calls of other workloads may reach it all the same, as the fallback of an upstream that
	// those may call.
	Callers []string
	// Exactly one of Endpoints and DNS is set.
	Endpoints []Endpoint
	DNS       *DNS

	TLS           *TLS         // nil: plain text
	HealthCheck   *HealthCheck // nil: none
	LoadBalancing LoadBalancing
	Limits        ConnectionLimits `json:"connectionLimits"`
	Outlier       *outlier.Config  `json:"outlierDetection"` // nil: off
	// Port is the port where the proxy listens for an upstream of protocol TCP; 0 for other protocols.
	Port uint16
	// Routes are matched in order. The last one has no name and matches all other requests, so there is
	// always at least one.
	Routes []Route

	own identity
}

// Protocol is the protocol that an upstream speaks.
type Protocol string

// The protocols.
const (
	HTTP1 Protocol = "HTTP1"
	HTTP2 Protocol = "HTTP2"
	GRPC  Protocol = "GRPC"
	TCP   Protocol = "TCP" // any other protocol; a connection counts as a call
)

// Endpoint is one instance of an upstream.
type Endpoint struct {
	Address netip.Addr
	Port    uint16
	Weight  uint32 // at least 1
	Zone    string // empty: unknown
}

// DNS is the name that resolves to the endpoints.
type DNS struct {
	Name string
	Port uint16
}

// TLS says how the proxy secures its connections to an upstream.
type TLS struct {
	SNI string
	// CAFile is a path on the proxy's own file system; empty trusts the proxy's system store.
	CAFile string
}

// HealthCheck is active health checking by the proxy. Path is empty for protocol GRPC, which is checked by
// grpc.health.v1, and for TCP, which is checked by connecting.
type HealthCheck struct {
	Path               string
	Interval           time.Duration
	Timeout            time.Duration
	UnhealthyThreshold uint32
	HealthyThreshold   uint32
}

// LoadBalancing says how the proxy chooses an endpoint.
type LoadBalancing struct {
	Policy LoadBalancingPolicy
	// PanicThreshold is a share of healthy endpoints: with fewer, the proxy also sends to unhealthy and
	// ejected ones. 0: it never does.
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

// ConnectionLimits are Envoy's CircuitBreakers: limits on concurrency for each of its two priorities, and
// for each endpoint.
type ConnectionLimits struct {
	Default, High Limits
	// PerEndpointMaxConnections is the only limit that Envoy has for an endpoint; 0: none.
	PerEndpointMaxConnections uint32
}

// Limits are Envoy's CircuitBreakers.Thresholds of one priority. A limit of 0 lets nothing through.
type Limits struct {
	MaxConnections     uint32
	MaxPendingRequests uint32
	MaxRequests        uint32
	// MaxRetries has an effect only if RetryBudget is nil.
	MaxRetries  uint32
	RetryBudget *RetryBudget
	// MaxConnectionPools is not limited if it is 0.
	MaxConnectionPools uint32
	// TrackRemaining publishes the rest of each limit in the proxy's statistics.
	TrackRemaining bool
}

// RetryBudget limits retries to a share of the active requests.
type RetryBudget struct {
	Percent        breaker.Ratio
	MinConcurrency uint32
	Interval       time.Duration // 0: only the requests active now count
}

// Route is a part of an upstream's requests.
type Route struct {
	// Name is empty for the last route, which has the requests that no other route matches.
	Name  string
	Match Match
	// Timeout is the longest time from the end of the request to the end of the response; 0: there is no
	// limit. For protocol TCP it is the longest time to establish the connection; 0: the proxy's default,
	// 2 s.
	Timeout time.Duration
	// ResponseHeaderTimeout is the longest time from the end of the request to the first headers of the
	// response; 0: only Timeout limits it. It is shorter than Timeout if both are above 0. For protocol
	// TCP it is 0.
	ResponseHeaderTimeout time.Duration
	// IdleTimeout is the longest time without data in either direction, at any time of the request; 0: the
	// policy does not say. It is longer than the limit on the time to the first headers. For protocol TCP
	// it is 0.
	IdleTimeout time.Duration
	// Breaker is nil if no policy asks for one. A route that no policy targets by its name shares the
	// breaker of the last route: pointer and key are the same.
	Breaker *Breaker
}

// Match is a condition on requests. At most one of Path and PathPrefix is set.
type Match struct {
	Path       string
	PathPrefix string
	Methods    []string // sorted; empty: any
}

// DataPath says where a breaker is enforced.
type DataPath string

// The data paths.
const (
	// Adaptive enforces a breaker in the proxy. While the breaker is closed no request waits for the
	// control plane: the proxy logs outcomes afterwards. While it is open the proxy rejects calls itself.
	Adaptive DataPath = "Adaptive"
	// Inline enforces a breaker in the control plane: every request waits for its decision.
	Inline DataPath = "Inline"
)

// Breaker is the specification of a breaker, with where and how it is enforced.
type Breaker struct {
	Spec     breaker.Spec
	DataPath DataPath
	Classify *Classifier
	Fallback Fallback
	// FailOpen admits calls when the control plane does not answer.
	FailOpen bool
	// Origins are the policies that it is made of, the most specific first.
	Origins []Origin
}

// Enabled reports whether there is a breaker at all and it is not disabled. Calls of a disabled breaker pass as if
// there were none.
func (b *Breaker) Enabled() bool { return b != nil && b.Spec.Config.Mode != breaker.Disabled }

// Fallback says what happens to a rejected call. It gets Response, unless Upstream takes the call or Cached
// has a copy.
type Fallback struct {
	Response Response
	Upstream *FallbackUpstream // nil: none
	Cached   *Cached           // nil: proxies keep no copies; never together with Upstream
}

// FallbackUpstream is an upstream that takes rejected calls. They are calls of that upstream then, with its
// breakers, limits and timeout.
type FallbackUpstream struct {
	Name string
	// Host is one of its hosts. It replaces the host of the request.
	Host string
}

// Cached says which copies of good responses to GET requests a proxy keeps. A rejected request for which it
// has no copy gets the response of the fallback.
type Cached struct {
	TTL time.Duration
	// MaxEntries and MaxBytes limit the copies in one worker of a proxy; it drops the oldest first.
	MaxEntries uint32
	MaxBytes   uint64
	// MaxBodyBytes is the largest body of a copy; larger responses are not kept.
	MaxBodyBytes uint64
	// WithCredentials also keeps responses to requests with credentials. Such a copy is served only to
	// requests with identical credentials.
	WithCredentials bool
	// KeyHeaders are the request headers, in lower case and sorted, that must be equal for a copy to
	// answer, beside method, host, path and credentials. ["*"], the default, is all headers apart from
	// [IrrelevantHeaders].
	KeyHeaders []string
}

// Response is a response that the proxy makes itself.
type Response struct {
	Status      int
	ContentType string
	Body        string
	Headers     []Header // sorted by name
}

// Header is one response header. Its name is in lower case.
type Header struct{ Name, Value string }
