package api

import (
	"net/netip"
	"time"
)

// Live is the answer of GET /health/live. That it comes says that the process runs.
type Live struct {
	Status string `json:"status"` // always "live"
}

// The words for readiness.
const (
	IsReady  = "ready"
	NotReady = "not_ready" // comes with the status 503
)

// Ready is the answer of GET /health/ready: whether this control plane can serve.
type Ready struct {
	Status     string      `json:"status"` // [IsReady] where every condition holds, else [NotReady]
	Conditions []Condition `json:"conditions"`
}

// Condition is one thing that has to hold for a control plane to serve.
type Condition struct {
	Name   string `json:"name"` // such as "policy"
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"` // the part that is missing, or more about the parts that are there
}

// Dependencies is the answer of GET /health/dependencies: how many breakers are open, of all or of the upstreams of
// one workload. Breakers that reject nothing, by their mode, count as closed.
type Dependencies struct {
	Status         string   `json:"status"`        // [IsReady] while fewer than half are open, else [NotReady]
	For            *string  `json:"for,omitempty"` // the workload that was asked about; nil: all
	Note           string   `json:"note,omitempty"`
	Total          int      `json:"total"`
	Open           int      `json:"open"`
	HalfOpen       int      `json:"half_open"` // breakers that are open for a minority of their proxies included
	OpenPercentage float64  `json:"open_percentage"`
	OpenBreakers   []string `json:"open_breakers"` // their keys
}

// Services is the answer of GET /health/services.
type Services struct {
	Services  []Service   `json:"services"`
	Ejections []Ejections `json:"ejections"`
}

// The words for how well a service does, by the state of its breaker.
const (
	Healthy   = "healthy"   // closed
	Degraded  = "degraded"  // half-open
	Unhealthy = "unhealthy" // open
)

// Service is how well a service, or one route of it, does by its breaker.
type Service struct {
	Service      string  `json:"service"`
	Route        string  `json:"route"`
	Status       string  `json:"status"` // [Healthy], [Degraded] or [Unhealthy]
	CircuitState State   `json:"circuit_state"`
	Mode         Mode    `json:"mode"`                // as in [Breaker]
	DataPath     string  `json:"data_path,omitempty"` // as in [Breaker]
	Forced       *Forced `json:"forced,omitempty"`    // nil: the rules decide
	// FailureCount is how many calls have failed since the breaker was made.
	FailureCount uint64     `json:"failure_count"`
	LastFailure  *time.Time `json:"last_failure"` // nil: none has
}

// Ejections are the endpoints of one upstream that are out of rotation for all proxies. They say nothing of the
// state of a breaker, which an upstream need not even have.
type Ejections struct {
	Service   string           `json:"service"`
	Endpoints int              `json:"endpoints"` // all, the ejected ones included
	Ejected   []netip.AddrPort `json:"ejected"`   // in order
}
