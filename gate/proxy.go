package gate

import (
	"slices"
	"time"

	"breakwater.dev/breaker"
)

// Node is a proxy that is connected.
type Node struct {
	ID       string
	Workload string
	// Upstreams are the names of those that it calls, sorted; nil: all.
	Upstreams []string
}

// Calls reports whether the proxy says that it calls an upstream.
func (n *Node) Calls(upstream string) bool {
	if n.Upstreams == nil {
		return true
	}
	_, listed := slices.BinarySearch(n.Upstreams, upstream)
	return listed
}

// Proxy is one proxy that reaches an upstream whose calls are connections, with what it has reported.
type Proxy struct {
	Node string
	Links
	Applied
	// Left means that the proxy has no stream any more. Its gates stay in force until their time to live is over.
	Left bool
	// Barred means that the proxy's workload may not call the upstream. It may still have a permit from before.
	Barred bool
}

// Links are what a proxy has reported of its connections to an upstream.
type Links struct {
	// Connections are established, and Connecting are being made.
	Connections, Connecting uint32
	// Called is when an application last wanted a connection, Refused when the proxy last refused one, and
	// Admitted when it last admitted one; 0: never.
	Called, Refused, Admitted breaker.Instant
	// Pause is how long no connection was wanted before the last second in which one was; 0: not known.
	Pause time.Duration
}

// Applied is which gates are in force in a proxy, as far as it has said.
type Applied struct {
	Gates *Set            // nil: none
	Told  breaker.Instant // when the proxy last said so
	// Began is when the proxy last came without gates, as one does that has restarted; 0: not known.
	Began breaker.Instant
}
