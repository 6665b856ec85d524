package gate

import (
	"slices"
	"time"

	"breakwater.dev/breaker"
)

// Node is a connected proxy.
type Node struct {
	ID       string
	Workload string
	// Upstreams are the names of the upstreams that it calls, sorted; nil: all upstreams.
	Upstreams []string
}

// Calls reports whether the proxy lists an upstream as one that it calls.
func (n *Node) Calls(upstream string) bool {
	if n.Upstreams == nil {
		return true
	}
	_, listed := slices.BinarySearch(n.Upstreams, upstream)
	return listed
}

// Proxy is a proxy that calls an upstream whose calls are connections, with the state that it has reported.
type Proxy struct {
	Node string
	Links
	Applied
	// Left means that the proxy is no longer connected. Its gates stay in force until their time to live is over.
	Left bool
	// Barred means that the proxy's workload may not call the upstream. It may still have a permit from before.
	Barred bool
}

// Links are a proxy's connections to an upstream, as its access log reports them.
type Links struct {
	// Connections is how many connections are established, and Connecting how many are being made.
	Connections, Connecting uint32
	// Called is when an application last wanted a connection, Refused when the proxy last refused one, and
	// Admitted when it last admitted one; 0: never.
	Called, Refused, Admitted breaker.Instant
	// Pause is the time between the two latest seconds in which a connection was wanted; 0: not known.
	Pause time.Duration
}

// Applied holds the gates that are in force in a proxy, according to its acknowledgements.
type Applied struct {
	Gates        *Mix            // nil: none
	Acknowledged breaker.Instant // when the proxy last acknowledged them
	// Began is when the proxy last connected without gates, which means that it has restarted; 0: not known.
	Began breaker.Instant
}
