package app

import "breakwater.dev/breaker"

// breakers are all breakers, wherever they are: in this process ([breaker.Local]), or shared with other replicas
// ([peers.Router]).
type breakers interface {
	breaker.Decider
	AppendSnapshot(dst []breaker.Status, now breaker.Instant) []breaker.Status
	Snapshot(now breaker.Instant) []breaker.Status
	Force(key breaker.Key, o breaker.Override, now breaker.Instant) error
	Reset(key breaker.Key, by, note string, now breaker.Instant) error
}
