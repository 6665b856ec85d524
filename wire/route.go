package wire

import (
	"strings"

	"breakwater.dev/breaker"
)

// RouteKind says which of a breaker's routes a call takes in a proxy. The name of a route is the key of its breaker
// followed by the suffix of its kind.
type RouteKind uint8

// The kinds of routes. In the data path Inline a breaker has RouteWhole, and RouteAsking too if it fails closed. In the
// data path Adaptive it has all the others, which a proxy matches in this order. In both data paths it has RouteRejected
// only if its fallback is one that only the proxy can produce (an upstream, a cached response).
const (
	RouteWhole    RouteKind = iota // the call asks the control plane, or there is no breaker
	RouteRejected                  // the control plane has rejected the call; the route leads to its fallback
	RouteCounted                   // rejects the call, and logs it: a sample of the rejected calls
	RouteOpen                      // rejects the call, and does not log it
	RouteProbe                     // lets the call through: it took RouteAsking first, and got a permit
	RouteAsking                    // asks the control plane for a permit, and rejects the call without one
	RouteExact                     // lets the call through, and logs it; all calls that get so far take it
	RouteSampled                   // lets the call through, and logs it: a sample of the calls
	RouteClosed                    // lets the call through, and logs it if it fails or is slow
	routeKinds
)

// separator begins the suffix of a kind. Keys of breakers do not contain it.
const separator = "~"

// suffixes of the names of routes, by kind.
var suffixes = [routeKinds]string{
	RouteWhole:    "",
	RouteRejected: separator + "rejected",
	RouteCounted:  separator + "counted",
	RouteOpen:     separator + "open",
	RouteProbe:    separator + "probe",
	RouteAsking:   separator + "asking",
	RouteExact:    separator + "exact",
	RouteSampled:  separator + "sampled",
	RouteClosed:   separator + "closed",
}

// String returns the name of the kind, such as "open". It is empty for RouteWhole.
func (k RouteKind) String() string { return strings.TrimPrefix(suffixes[k], separator) }

// Suffix returns the end of the names of the kind's routes, such as "~open". It is empty for RouteWhole.
func (k RouteKind) Suffix() string { return suffixes[k] }

// RouteName returns the name of a breaker's route in a proxy, such as "payments/charge~open". The key's node is
// not part of it.
func RouteName(key breaker.Key, kind RouteKind) string {
	key.Node = ""
	return key.String() + kind.Suffix()
}

// CutRouteName splits a name from [RouteName] into the text of the breaker's key and the kind. ok is false for
// a suffix that no kind has. It allocates nothing.
func CutRouteName[T string | []byte](name T) (key T, kind RouteKind, ok bool) {
	at := len(name)
	for i := range len(name) {
		if name[i] == separator[0] {
			at = i
			break
		}
	}
	suffix := name[at:]
	for k := len(suffixes) - 1; k >= 0; k-- { // most entries of logs have one of the last kinds
		if string(suffix) == suffixes[k] {
			return name[:at], RouteKind(k), true
		}
	}
	return name[:at], 0, false
}

// ParseRouteName reads a name from [RouteName]. ok is false for a suffix that no kind has.
func ParseRouteName(name string) (key breaker.Key, kind RouteKind, ok bool) {
	text, kind, ok := CutRouteName(name)
	return breaker.ParseKey(text), kind, ok
}
