package app

import (
	"breakwater.dev/breaker"
	"breakwater.dev/feed"
	"breakwater.dev/internal/replicas"
	"breakwater.dev/peers"
	"breakwater.dev/wire"
)

// joinReplicas connects this process with the others that share its breakers. They do not run yet.
func (a *app) joinReplicas() (*replicas.Group, error) {
	t := a.options.TLS
	if t.Enabled() {
		if err := t.check(); err != nil {
			return nil, err
		}
	}
	return replicas.New(replicas.Options{
		Config: a.options.Replicas, Name: a.options.Instance, Listen: a.options.XDSListen,
		TLS:    replicas.TLS{CertFile: t.CertFile, KeyFile: t.KeyFile, CAFile: t.ClientCAFile},
		Engine: a.engine, Clock: a.clock, Deliver: a.observe, Flush: a.driver.Deliver, Log: a.log,
		Changed: func(key breaker.Key) { a.gates.Observe(breaker.Transition{Key: key, At: a.clock.Now()}) },
		Suspect: func(key breaker.Key) { a.feed.Suspect(key) },
		Proxies: a.tellFeed, Sampled: a.tellSampled,
	})
}

// tellFeed tells the feed which proxies get their layers from this replica.
func (a *app) tellFeed() {
	here := map[string]bool{}
	for _, n := range a.xds.Connected() {
		here[n.ID] = true
	}
	a.feed.Here(here)
	a.tellSampled()
}

// tellSampled tells the feed which breakers the proxies of other replicas may sample.
func (a *app) tellSampled() {
	a.feed.Elsewhere(a.replicas.Router.SampledElsewhere(a.clock.Now()))
}

// sharedFeed is the feed of a replica. It tells the other replicas what this one's proxies sample before the proxies know it.
type sharedFeed struct {
	*feed.Server
	router *peers.Router
}

// Sample implements [publisher.Feed].
func (f sharedFeed) Sample(now breaker.Instant) map[breaker.Key]wire.Sampling {
	decided := f.Server.Sample(now)
	var sampled []breaker.Key
	for key, s := range decided {
		if s.Passed > 1 {
			sampled = append(sampled, key)
		}
	}
	f.router.Sampled(sampled)
	return decided
}
