package httpapi

import (
	"log/slog"
	"math"
	"net/http"
	"sync"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/breaker"
	"breakwater.dev/internal/httpapi/broadcast"
	"breakwater.dev/internal/httpapi/byhand"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
)

// Options are the parts of an [API]. All are required except the texts, Admin and Log.
type Options struct {
	Version  string // Breakwater's own, such as "v1.2.0"
	Instance string // the name of this control plane among others
	Engine   Engine
	Clock    Clock // by which the engine runs
	// Deliver returns when all transitions so far are counted and logged. It is called after a change by hand, so that
	// the answer shows the transitions that follow from it.
	Deliver func()
	// Policy returns the policy in force; nil: there is none yet.
	Policy   func() *policy.Set
	History  History
	Proxies  Proxies
	Outliers Outliers
	// Replicas returns the control planes that share the breakers; nil, or nil returned: there are no others.
	Replicas func() *api.Replicas
	// Owner returns the name of the replica that decides about a breaker, and whether this one knows what that one decides.
	// It is there where Replicas is.
	Owner func(breaker.Key) (name string, known bool)
	// Ready returns what has to hold for this process to serve. A process that is shutting down says so by a condition
	// that does not hold.
	Ready   func() []api.Condition
	Metrics http.Handler // answers /metrics
	Admin   Admin
	// Log gets the errors of answers, and every attempt at a change by hand. nil: [slog.Default].
	Log *slog.Logger
}

// Engine has the breakers, as [*breaker.Engine] does.
type Engine interface {
	// AppendSnapshot appends the status of every breaker to dst and returns it. In a scope of nodes the breakers of single
	// proxies follow the one for all proxies together, which has no node. The caller uses dst again.
	AppendSnapshot(dst []breaker.Status, now breaker.Instant) []breaker.Status
	// Force and Reset change a breaker by hand. The error is or wraps [breaker.ErrUnknown] where there is no such breaker.
	Force(key breaker.Key, o breaker.Override, now breaker.Instant) error
	Reset(key breaker.Key, by, note string, now breaker.Instant) error
}

// Clock gives instants, and the time of an instant.
type Clock interface {
	Now() breaker.Instant
	Wall(breaker.Instant) time.Time
}

// History remembers loads and transitions, as [*metrics.Metrics] does.
type History interface {
	// Load returns which policy is in force, and what became of the last load.
	Load() api.Load
	// LastTransition returns the last transition of a breaker, whichever proxy's it was; nil: there was none.
	LastTransition(breaker.Key) *breaker.Transition
}

// Proxies knows the proxies that are connected, as [*discovery.Server] does.
type Proxies interface {
	// Status returns them by id.
	Status() []api.Node
	// Count returns their number. It costs much less than Status.
	Count() int
	// Calls returns the upstreams that the proxies of a workload call. connected is false where there is no such proxy.
	Calls(workload string) (upstreams []string, connected bool)
}

// Outliers has the upstreams whose endpoints are judged for all proxies together, as [*outlier.Detector] does.
type Outliers interface {
	// Snapshot returns the status of each, by name, with the endpoints that are ejected in order.
	Snapshot() []outlier.Status
}

// API answers requests. Make one with [New]; it has no goroutines of its own.
type API struct {
	options   Options
	view      func(*policy.Set) any // the form in which /config shows a policy
	snapshots sync.Pool             // of *[]breaker.Status
	followers *broadcast.Hub
	following *places // for followers
	audit     byhand.Audit
}

// New returns an API that answers at once.
func New(o Options) *API {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &API{
		options: o, view: (*policy.Set).View,
		snapshots: sync.Pool{New: func() any { return new([]breaker.Status) }},
		followers: broadcast.NewHub(maxFollowers, followerBacklog), following: newPlaces(math.MaxInt, maxFollowersEach),
		audit: byhand.Audit{Log: o.Log},
	}
}

// Close ends the answers to clients that follow transitions, which would not end by themselves, and refuses new followers.
// Everything else goes on. Call it before the HTTP server is shut down.
func (a *API) Close() { a.followers.Close() }

// withStatuses calls use with the status of every breaker; use must not keep them.
func (a *API) withStatuses(use func([]breaker.Status)) {
	s := a.snapshots.Get().(*[]breaker.Status)
	defer a.snapshots.Put(s)
	*s = a.options.Engine.AppendSnapshot((*s)[:0], a.options.Clock.Now())
	use(*s)
}
