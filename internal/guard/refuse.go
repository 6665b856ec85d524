package guard

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"breakwater.dev/internal/untrusted"
)

// Service is a part of the control plane that refuses peers.
type Service uint8

// The services.
const (
	XDS        Service = iota
	ExtProc            // the ext_proc service
	AccessLog          // the access log service
	Connection         // the port of the proxies, whatever the service
	HTTP               // the port of the operators
	services
)

var serviceNames = [services]string{"xds", "ext_proc", "access_log", "connection", "http"}

func (s Service) String() string { return serviceNames[s] }

// Reason is why the guard refused a connection, a stream or a report.
type Reason uint8

// The reasons.
const (
	Identity    Reason = iota // the certificate does not allow the identity that the proxy claims
	Upstream                  // a report on an upstream that the proxy does not list over xDS, or may not call
	Memory                    // the memory in use by one peer, or by all, has reached its bound
	Streams                   // the connection has more streams than a proxy needs
	Metadata                  // the proxy's node, or its subscription, is too large
	Connections               // the number of connections has reached its bound, and none of them is idle
	Idle                      // the connection sent nothing, and gave way to a new one
	Resets                    // too many streams ended without having sent a message
	Probes                    // a probe's permit was not given back before its lease was over
	reasons
)

var reasonNames = [reasons]string{
	"identity", "upstream", "memory", "streams", "metadata", "connections", "idle", "resets", "probes",
}

func (r Reason) String() string { return reasonNames[r] }

// possible lists the reasons of each service. Their totals are reported even while they are 0.
var possible = [services][]Reason{
	XDS:        {Identity, Memory, Streams, Metadata},
	ExtProc:    {Identity, Upstream, Memory, Probes},
	AccessLog:  {Identity, Upstream, Memory, Metadata},
	Connection: {Memory, Connections, Idle, Resets},
	HTTP:       {Connections, Idle},
}

// Refused is the number of refusals by one service for one reason.
type Refused struct {
	Service, Reason string
	Total           uint64
}

// refusals counts refusals, and bounds how many are logged.
type refusals struct {
	log    *slog.Logger
	totals [services][reasons]atomic.Uint64
	lines  untrusted.Limiter[kind]
}

// kind groups refusals for the log, which gets a line about each kind once in 10 s.
type kind struct {
	peer    string
	service Service
	reason  Reason
}

// Bounds on the log lines about one kind, and about all kinds.
var perKind, overall = untrusted.Rate{Burst: 1, PerSecond: .1}, untrusted.Rate{Burst: 1_000, PerSecond: 50}

// count counts a refusal, and reports whether a line about it is due. If so, silent is the number of lines left out
// since the last one.
func (r *refusals) count(k kind) (due bool, silent uint64) {
	r.totals[k.service][k.reason].Add(1)
	return r.lines.Allow(k, time.Now())
}

// refuse counts a refusal, and logs it if a line is due.
func (g *Guard) refuse(k kind, why string) {
	if due, silent := g.refusals.count(k); due {
		g.logRefusal(k, why, silent)
	}
}

func (g *Guard) logRefusal(k kind, why string, silent uint64) {
	attributes := []any{"peer", untrusted.Name(k.peer), "service", k.service.String(), "reason", k.reason.String(), "why", untrusted.Message(why)}
	if silent > 0 {
		attributes = append(attributes, "lines_left_out", silent)
	}
	g.refusals.log.Warn("something of a peer was refused; this is logged once in 10 s, and breakwater_proxies_refused_total counts all", attributes...)
}

// Refused returns the totals of refusals by service and reason. It includes those that can happen but have not.
func (g *Guard) Refused() []Refused {
	var all []Refused
	for s := range services {
		for r := range reasons {
			if total := g.refusals.totals[s][r].Load(); total > 0 || slices.Contains(possible[s], r) {
				all = append(all, Refused{s.String(), r.String(), total})
			}
		}
	}
	return all
}

// Refuse counts and logs a refusal, and returns the gRPC error for the peer's stream: PermissionDenied for an identity
// or an upstream, ResourceExhausted for all other reasons.
func (p *Peer) Refuse(s Service, r Reason, why string) error {
	code := codes.ResourceExhausted
	if r == Identity || r == Upstream {
		code = codes.PermissionDenied
	}
	if p != nil {
		p.guard.refuse(kind{p.account.key, s, r}, why)
	}
	return status.Error(code, untrusted.Message(why))
}
