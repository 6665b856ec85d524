package gate

import "breakwater.dev/wire"

// Share returns the share of a breaker's requests, in millionths, that take the proxy's route of a kind or of a kind before
// it. Shares are cumulative because one random number decides for all kinds. A kind whose route has no share gets 0. A proxy
// without a gate for the breaker uses the shares of the zero gate.
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
	case wire.RouteExact:
		if sampling.Exact {
			return wire.Million
		}
		return 0
	case wire.RouteSampled:
		return open + (wire.Million-open)/sampling.Passed
	default:
		return 0
	}
}
