package wire

import (
	"strconv"
	"strings"

	"breakwater.dev/breaker"
)

// RuntimeLayer is the name of the runtime layer that a proxy's bootstrap asks for, and of its resource.
const RuntimeLayer = "breakwater"

// Million is the denominator of every share in a runtime layer. All shares need the same denominator: Envoy divides one
// random number by it and compares the remainder with the share, so that a smaller share is part of a larger one.
const Million = 1_000_000

// RuntimeKey is a key of a proxy's runtime.
type RuntimeKey string

// The runtime keys of the filter of a proxy's access log. LogStatus is the lowest HTTP status to log, LogSlow the
// shortest duration to log, in milliseconds, and LogGone the share to log of the calls whose callers left.
const (
	LogStatus RuntimeKey = RuntimeLayer + ".log.status"
	LogSlow   RuntimeKey = RuntimeLayer + ".log.slow_ms"
	LogGone   RuntimeKey = RuntimeLayer + ".log.gone"
	// LogBelow and LogWaiting are never set. Envoy's filters have defaults for them, but must name a key.
	LogBelow   RuntimeKey = RuntimeLayer + ".log.below"
	LogWaiting RuntimeKey = RuntimeLayer + ".log.waiting"
)

// LogRunning returns the keys of one of the [RunningWindows] of the filter, which count from 0: the shortest and the longest duration
// to log of the requests that have not ended, in milliseconds.
func LogRunning(window int) (from, until RuntimeKey) {
	key := RuntimeLayer + ".log.running." + strconv.Itoa(window)
	return RuntimeKey(key + ".from_ms"), RuntimeKey(key + ".until_ms")
}

// ShareKey returns the key for the share of a breaker's calls that take its route of a kind, which is not RouteWhole.
// Shares are cumulative: one random number decides, so each share includes the shares of the routes before it. The
// breaker's node is not part of the key.
func ShareKey(key breaker.Key, kind RouteKind) RuntimeKey {
	key.Node = ""
	return RuntimeKey(RuntimeLayer + "." + key.String() + "." + kind.String())
}

// ParseShareKey reads a key from [ShareKey]. ok is false for other keys.
func ParseShareKey(k RuntimeKey) (key breaker.Key, kind RouteKind, ok bool) {
	text, ok := strings.CutPrefix(string(k), RuntimeLayer+".")
	dot := strings.LastIndexByte(text, '.')
	if !ok || dot < 0 {
		return key, 0, false
	}
	_, kind, ok = CutRouteName(separator + text[dot+1:])
	if !ok || kind == RouteWhole {
		return key, 0, false
	}
	return breaker.ParseKey(text[:dot]), kind, true
}

// The parts around the name of the cluster in a key from [ConnectionsKey].
const (
	connectionsPrefix = "circuit_breakers."
	connectionsSuffix = ".default.max_connections"
)

// ConnectionsKey returns the key that overrides max_connections of a cluster's default priority. Envoy reads it for
// every connection (envoy.config.cluster.v3.CircuitBreakers).
func ConnectionsKey(cluster string) RuntimeKey {
	return RuntimeKey(connectionsPrefix + cluster + connectionsSuffix)
}

// ParseConnectionsKey reads a key from [ConnectionsKey]. ok is false for other keys.
func ParseConnectionsKey(k RuntimeKey) (cluster string, ok bool) {
	cluster, begins := strings.CutPrefix(string(k), connectionsPrefix)
	cluster, ends := strings.CutSuffix(cluster, connectionsSuffix)
	return cluster, begins && ends
}
