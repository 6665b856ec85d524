package app

import "breakwater.dev/breaker"

// breakers are all breakers, wherever they are: in this process, or shared with other replicas.
type breakers interface {
	breaker.Decider
	AppendSnapshot(dst []breaker.Status, now breaker.Instant) []breaker.Status
	Snapshot(now breaker.Instant) []breaker.Status
	Force(key breaker.Key, o breaker.Override, now breaker.Instant) error
	Reset(key breaker.Key, by, note string, now breaker.Instant) error
}

// local has the breakers of a control plane without other replicas: they are this process's.
type local struct {
	breaker.Decider
	engine *breaker.Engine
}

func (l local) AppendSnapshot(dst []breaker.Status, now breaker.Instant) []breaker.Status {
	return l.engine.AppendSnapshot(dst, now)
}

func (l local) Snapshot(now breaker.Instant) []breaker.Status { return l.engine.Snapshot(now) }

func (l local) Force(key breaker.Key, o breaker.Override, now breaker.Instant) error {
	return l.engine.Force(key, o, now)
}

func (l local) Reset(key breaker.Key, by, note string, now breaker.Instant) error {
	return l.engine.Reset(key, by, note, now)
}
