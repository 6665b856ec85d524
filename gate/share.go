package gate

import "breakwater.dev/wire"

// Share returns the share of a breaker's requests, in millionths, that take the proxy's routes of a kind or of the kinds
// before it: one random number decides for all kinds. Kinds that match no share of their own have 0. The shares of the
// zero gate hold in a proxy that has no gate of the breaker.
func (g *Gate) Share(kind wire.RouteKind) uint32 {
	open, sampling := min(g.Open, wire.Million), g.Sampling.All()
	switch kind {
	case wire.RouteCounted:
		return open / sampling.Rejected
	case wire.RouteOpen:
		return open
	case wire.RouteProbe:
		if g.Probe && g.Connections == nil {
			return wire.Million
		}
		return 0
	case wire.RouteSampled:
		return open + (wire.Million-open)/sampling.Passed
	default:
		return 0
	}
}
