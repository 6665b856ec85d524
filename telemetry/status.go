package telemetry

import (
	"net/netip"
	"time"
)

// XDSStatus is what the xDS server knows at one instant.
type XDSStatus struct {
	// Nodes are the proxies that are connected, in any order.
	Nodes []NodeStatus
	// Totals has one row for each type of resource that is served, also where
	// nothing was sent yet: they are what initialises the metrics.
	Totals []TypeTotals
}

// TypeTotals are counts of one type of resource, over all proxies there were
// since the server started.
type TypeTotals struct {
	Type      string // the type URL
	Pushes    uint64 // responses sent
	PushBytes uint64 // bytes of the resources in them
	NACKs     uint64 // responses that a proxy refused
}

// NodeStatus is one proxy that is connected.
type NodeStatus struct {
	ID             string    `json:"id"`
	Cluster        string    `json:"cluster"` // the workload, as the bootstrap's node.cluster has it
	Version        string    `json:"version"` // of Envoy
	ConnectedSince time.Time `json:"connected_since"`
	// Outdated tells that this Envoy is older than Breakwater supports.
	Outdated bool `json:"outdated"`
	// Duplicate tells that two proxies with this id are connected. Here they are one.
	Duplicate bool `json:"duplicate"`
	// UnknownUpstreams are those that its bootstrap lists and the policy does not
	// have: the first ten, and how many more.
	UnknownUpstreams []string `json:"unknown_upstreams,omitempty"`
	// ForbiddenUpstreams are those that its bootstrap lists and that its workload is not
	// among the callers of: the first ten, and how many more.
	ForbiddenUpstreams []string `json:"forbidden_upstreams,omitempty"`
	// Types are in the order in which they are sent.
	Types []TypeStatus `json:"types"`
}

// TypeStatus is how far one proxy got with one type of resource.
type TypeStatus struct {
	Type      string `json:"type"`      // the type URL
	Resources int    `json:"resources"` // how many the proxy has been sent
	// LastACK is when the proxy last took a response; zero: not yet.
	LastACK time.Time `json:"last_ack,omitzero"`
	// NACK is the refusal that stands; nil where there is none.
	NACK *NACK `json:"nack,omitempty"`
}

// NACK is a response that a proxy refused.
type NACK struct {
	At        time.Time `json:"at"`
	Resources []string  `json:"resources,omitempty"` // the names that were in it, where known
	Message   string    `json:"message"`             // Envoy's own words
}

// StoreStatus is how well breakers are kept over a restart.
type StoreStatus struct {
	Kept        bool // at all
	Writes      uint64
	Failures    uint64 // of writes
	Bytes       uint64 // written
	LastSuccess time.Time
}

// ExtprocStatus are the totals of the ext_proc server since it started.
type ExtprocStatus struct {
	Streams  uint64 // open now
	Admitted uint64 // requests let through by a breaker
	Rejected uint64 // requests answered in the upstream's place
	// UnknownBreakers are requests that named a breaker which the policy does not
	// have. They are let through, and are not in Admitted.
	UnknownBreakers uint64
	// Errors are streams that ended by a fault of either side, not by the request's end.
	Errors uint64
}

// FeedStatus are the totals of the feed since it started: of what proxies in the
// data path Adaptive log.
type FeedStatus struct {
	Streams  uint64 // open now
	Messages uint64 // received
	Bytes    uint64 // of these
	// Of the entries in them, each is in one of these.
	Reported uint64 // told the breaker an outcome
	Rejected uint64 // told it of calls that the proxy rejected by itself
	Skipped  uint64 // were logged for another reason, or of no breaker that is known
	Invalid  uint64 // could not be read
	Dropped  uint64 // came faster than they could be taken
	Refused  uint64 // told of an upstream that their proxy does not say it calls
}

// PeerStatus is the connections and streams that were refused, and what proxies hold.
type PeerStatus struct {
	Refused    []RefusedTotal // every reason that each service has
	Held, Most int64          // bytes, by estimate
}

// RefusedTotal is how often a service refused something for a reason.
type RefusedTotal struct {
	Service, Reason string
	Total           uint64
}

// GateStatus is what stands in the data plane for breakers in the data path
// Adaptive, and how far proxies obey it. A gate of one proxy alone is one gate.
type GateStatus struct {
	// Gates that stand now, each in one of these.
	Open        int // reject every call
	Probing     int // let a share of the calls ask for permits, and reject the others
	Ramping     int // reject a share, and let the others through
	Connections int // bound the connections of an upstream that speaks TCP

	LayerBytes int    // of the runtime layer of the proxies without gates of their own
	Refused    uint64 // rollouts that a proxy refused, since the server started
	Waiting    int    // rollouts that not every proxy has taken or refused yet
}

// OutlierStatus is one upstream whose endpoints are judged, and ejected, for all
// proxies together: its outlierDetection has the scope Mesh.
type OutlierStatus struct {
	Upstream  string
	Endpoints int              // all, the ejected ones included
	Ejected   []netip.AddrPort // now
	// Ejections are those there were since the upstream came to be judged, by the
	// rule's name in the words of the policy, such as "consecutive_5xx_errors". Each
	// rule that the upstream has on is there from 0 on: they are what initialises
	// the metrics.
	Ejections map[string]uint64
	// Detected counts endpoints that a rule found, but that were not ejected.
	Detected uint64
}
