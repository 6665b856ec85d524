package app

import (
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/untrusted"
	"breakwater.dev/telemetry"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery"
)

func (a *app) telemetryOptions() telemetry.Options {
	return telemetry.Options{
		Version:    a.options.Version,
		Instance:   a.options.Instance,
		Breakers:   func(dst []breaker.Status) []breaker.Status { return a.engine.AppendSnapshot(dst, a.clock.Now()) },
		Wall:       a.clock.Wall,
		Ready:      a.conditions,
		Calls:      func(workload string) ([]string, bool) { return a.xds.Calls(workload) },
		Config:     a.config,
		XDS:        a.xdsStatus,
		Extproc:    a.extprocStatus,
		Feed:       a.feedStatus,
		Outliers:   func() []telemetry.OutlierStatus { return a.outliers.status() },
		Peers:      a.peerStatus,
		Gates:      a.gateStatus,
		Store:      a.storeStatus,
		Handshakes: a.handshakes.status,
		Admin:      a.admin(),
		Log:        a.log,
	}
}

// conditions are what this process needs in order to serve. Both listeners are up
// before anybody can ask.
func (a *app) conditions() []telemetry.Condition {
	stopping := telemetry.Condition{Name: "serving", OK: !a.stopping.Load()}
	if !stopping.OK {
		stopping.Reason = "the process is shutting down"
	}
	return []telemetry.Condition{{Name: "policy", OK: a.current.Load() != nil}, stopping}
}

func (a *app) config() any { return a.current.Load().View() }

func (a *app) xdsStatus() telemetry.XDSStatus {
	var s telemetry.XDSStatus
	counts := a.xds.Counts()
	for _, typeURL := range xds.Types {
		c := counts[typeURL]
		s.Totals = append(s.Totals, telemetry.TypeTotals{
			Type: typeURL, Pushes: c.Pushes, PushBytes: c.PushBytes, NACKs: c.NACKs,
		})
	}
	// A proxy has a stream for its resources and one for its runtime layer; to people
	// it is one node.
	at, duplicates := map[string]int{}, a.xds.Duplicates()
	for _, n := range a.xds.Status() {
		i, known := at[n.Node.ID]
		if !known {
			i = len(s.Nodes)
			at[n.Node.ID] = i
			s.Nodes = append(s.Nodes, telemetry.NodeStatus{
				ID: n.Node.ID, Cluster: untrusted.Name(n.Node.Cluster), Version: n.Node.Version,
				ConnectedSince: n.Connected, Outdated: n.Node.TooOld(), Duplicate: slices.Contains(duplicates, n.Node.ID),
				UnknownUpstreams: untrusted.Names(n.Unknown), ForbiddenUpstreams: untrusted.Names(n.Forbidden),
			})
		}
		node := &s.Nodes[i]
		if n.Connected.Before(node.ConnectedSince) {
			node.ConnectedSince = n.Connected
		}
		for _, t := range n.Types {
			node.Types = append(node.Types, typeStatus(t))
		}
	}
	return s
}

func typeStatus(t discovery.TypeStatus) telemetry.TypeStatus {
	s := telemetry.TypeStatus{Type: t.TypeURL, Resources: t.Resources, LastACK: t.LastACK}
	var latest time.Time
	var names []string
	for _, r := range t.Refused {
		if s.NACK == nil {
			s.NACK = &telemetry.NACK{}
		}
		names = append(names, r.Name)
		if r.At.After(latest) {
			latest = r.At
			s.NACK.At, s.NACK.Message = r.At, r.Message
		}
	}
	if s.NACK != nil {
		s.NACK.Resources = untrusted.Names(names) // the proxy may have asked for whatever it likes
	}
	return s
}

func (a *app) peerStatus() telemetry.PeerStatus {
	var s telemetry.PeerStatus
	for _, r := range a.guard.Refused() {
		s.Refused = append(s.Refused, telemetry.RefusedTotal(r))
	}
	s.Held, s.Most = a.guard.Held()
	return s
}

func (a *app) extprocStatus() telemetry.ExtprocStatus {
	c := a.extproc.Counts()
	return telemetry.ExtprocStatus{
		Streams: uint64(c.Active), Admitted: c.Admitted, Rejected: c.Rejected,
		UnknownBreakers: c.Unknown, Errors: c.Invalid,
	}
}

func (a *app) feedStatus() telemetry.FeedStatus {
	c := a.feed.Counts()
	return telemetry.FeedStatus{
		Streams: uint64(c.Streams), Messages: c.Messages, Bytes: c.Bytes, Reported: c.Reported,
		Rejected: c.Rejected, Skipped: c.Skipped, Invalid: c.Invalid, Dropped: c.Dropped, Refused: c.Refused,
	}
}
