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

// Service is one of those that proxies call.
type Service uint8

// The services, and what belongs to none of them.
const (
	XDS Service = iota
	ExtProc
	AccessLog
	Connection
	HTTP
	services
)

var serviceNames = [services]string{"xds", "ext_proc", "access_log", "connection", "http"}

func (s Service) String() string { return serviceNames[s] }

// Reason is why something was refused.
type Reason uint8

// The reasons.
const (
	Identity    Reason = iota // the certificate does not allow what the proxy claims to be
	Upstream                  // the proxy does not say over xDS that it calls the upstream, or may not call it; its word does not count
	Memory                    // what peers hold has reached its bound, of one or of all
	Streams                   // more streams on one connection than a proxy has
	Metadata                  // what the proxy says of itself, or asks for, is too large
	Connections               // there are as many connections as there may be, and none of them is idle
	Idle                      // the connection said nothing, and others came
	Resets                    // streams that ended before they had begun
	Probes                    // permits in half-open that were not given back
	reasons
)

var reasonNames = [reasons]string{
	"identity", "upstream", "memory", "streams", "metadata", "connections", "idle", "resets", "probes",
}

func (r Reason) String() string { return reasonNames[r] }

// possible says which reasons each service has, whose totals are shown from the start.
var possible = [services][]Reason{
	XDS:        {Identity, Memory, Streams, Metadata},
	ExtProc:    {Identity, Upstream, Memory, Probes},
	AccessLog:  {Identity, Upstream, Memory, Metadata},
	Connection: {Memory, Connections, Idle, Resets},
	HTTP:       {Connections, Idle},
}

// Refused is how often something was refused.
type Refused struct {
	Service, Reason string
	Total           uint64
}

// refusals counts and logs.
type refusals struct {
	log    *slog.Logger
	totals [services][reasons]atomic.Uint64
	lines  untrusted.Limiter[kind]
}

// kind is what is logged once in a while: the same refusals of the same peer.
type kind struct {
	peer    string
	service Service
	reason  Reason
}

// How many lines are written of one kind, and of all.
var quiet, loud = untrusted.Rate{Burst: 1, PerSecond: .1}, untrusted.Rate{Burst: 1_000, PerSecond: 50}

// count counts a refusal, and tells whether it is to be logged, and how many were not since the
// last one that was.
func (r *refusals) count(k kind) (due bool, silent uint64) {
	r.totals[k.service][k.reason].Add(1)
	return r.lines.Allow(k, time.Now())
}

// refuse counts a refusal and logs it, with why.
func (g *Guard) refuse(k kind, why string) {
	if due, silent := g.refusals.count(k); due {
		g.say(k, why, silent)
	}
}

func (g *Guard) say(k kind, why string, silent uint64) {
	what := []any{"peer", untrusted.Name(k.peer), "service", k.service.String(), "reason", k.reason.String(), "why", untrusted.Message(why)}
	if silent > 0 {
		what = append(what, "lines_left_out", silent)
	}
	g.refusals.log.Warn("something of a peer was refused; this is logged once in 10 s, and breakwater_proxies_refused_total counts all", what...)
}

// Refused returns the totals of everything that can be refused, and of whatever else was.
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

// Refuse counts and logs that something of a peer was refused, and returns the error of its
// stream.
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
