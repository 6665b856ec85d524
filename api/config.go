package api

import (
	"encoding/json"
	"time"
)

// Config is the answer of GET /config: which policy is in force, and what became of it.
type Config struct {
	Version string `json:"version"` // Breakwater's, such as "v1.2.0"
	Load
	Nodes []Node `json:"nodes"` // the proxies that are connected, by id
	// Policy is the compiled policy, with the defaults filled in. It has the shape of the policy language, and grows
	// with it. It is null before a policy is in force.
	Policy json.RawMessage `json:"policy"`
}

// Load is which policy is in force, and what became of the last attempt to load one.
type Load struct {
	Revision   string     `json:"revision"`    // the hash of the policy in force; "" before the first is
	LoadedAt   *time.Time `json:"loaded_at"`   // when it was loaded; nil before the first is
	LastReload *Reload    `json:"last_reload"` // nil before the first load
}

// The results of a load.
const (
	LoadSucceeded = "success"
	LoadRefused   = "refused" // the policy has problems, and the one before stays in force
)

// Reload is the result of one load of the policy, the load at start included.
type Reload struct {
	At     time.Time `json:"at"`
	Result string    `json:"result"` // [LoadSucceeded] or [LoadRefused]
	// Problems has one line for each problem.
	Problems []string `json:"problems"`
	// Diagnostics are the same problems by their parts. It is empty where the load failed before any file was read.
	Diagnostics []Diagnostic `json:"diagnostics"`
}

// Diagnostic is one problem of a policy, at the place where it was written.
type Diagnostic struct {
	File string `json:"file"`
	Line int    `json:"line"` // from 1; 0 where the problem is the file as a whole
	Col  int    `json:"col"`  // from 1; 0 as Line
	Path string `json:"path"` // such as "spec.breaker.failureRateThreshold"; may be ""
	Got  string `json:"got"`
	Want string `json:"want"`
	Rule string `json:"rule"` // stable, such as "unknown-field"
}

// Node is one proxy that is connected.
type Node struct {
	ID             string    `json:"id"`
	Cluster        string    `json:"cluster"` // the workload, from the bootstrap's node.cluster
	Version        string    `json:"version"` // Envoy's; "": the proxy did not say
	ConnectedSince time.Time `json:"connected_since"`
	// Outdated reports whether this Envoy is older than Breakwater supports.
	Outdated bool `json:"outdated"`
	// Duplicate reports whether two proxies with this id are connected. Here they are one.
	Duplicate bool `json:"duplicate"`
	// UnknownUpstreams are those that its bootstrap lists and the policy does not have: the first ten, and how many more.
	UnknownUpstreams []string `json:"unknown_upstreams,omitempty"`
	// ForbiddenUpstreams are those that its bootstrap lists and whose callers do not include its workload: the first ten, and how many more.
	ForbiddenUpstreams []string `json:"forbidden_upstreams,omitempty"`
	// Types are in the order in which they are sent.
	Types []ResourceType `json:"types"`
}

// ResourceType is how far one proxy got with one type of xDS resource.
type ResourceType struct {
	Type      string `json:"type"`      // the type URL
	Resources int    `json:"resources"` // how many the proxy has been sent and has not refused
	// LastACK is when the proxy last took a response; zero: not yet.
	LastACK time.Time `json:"last_ack,omitzero"`
	// NACK is the refusal that stands; nil: there is none.
	NACK *NACK `json:"nack,omitempty"`
}

// NACK is the refusal of resources of one type.
type NACK struct {
	At        time.Time `json:"at"`                  // when the last one was refused
	Resources []string  `json:"resources,omitempty"` // the names that were refused: the first ten, and how many more
	Message   string    `json:"message"`             // Envoy's own words about the last refusal
}
