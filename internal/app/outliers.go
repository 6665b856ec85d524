package app

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"breakwater.dev/internal/driver"
	"breakwater.dev/internal/logs"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
)

// ejector ejects endpoints in the proxies. [discovery.Server] has this method.
type ejector interface {
	// Eject replaces the ejected endpoints of an upstream. An error means that nothing has changed.
	Eject(upstream string, endpoints []netip.AddrPort) error
}

// outliers runs mesh-wide outlier detection. It is safe for concurrent use, apart from apply.
type outliers struct {
	clock    driver.Clock
	proxies  ejector
	log      *slog.Logger
	detector *outlier.Detector
	wake     chan struct{} // has room for one
	set      *policy.Set   // that is applied; nil: none is. Only apply uses it
}

func newOutliers(clock driver.Clock, proxies ejector, log *slog.Logger) *outliers {
	o := &outliers{clock: clock, proxies: proxies, log: log, wake: make(chan struct{}, 1)}
	o.detector = outlier.NewDetector(o.observe)
	return o
}

// isJudged reports whether the endpoints of an upstream are judged here, and not by each proxy.
func isJudged(u *policy.Upstream) bool { return u.Outlier != nil && u.Outlier.Scope == outlier.Mesh }

// apply replaces the policy. Calls of it must not overlap.
func (o *outliers) apply(set *policy.Set) {
	change := set.Since(o.set)
	o.set = set
	if !slices.ContainsFunc(change.Gone, isJudged) && !slices.ContainsFunc(change.New, isJudged) {
		return
	}
	var judged []outlier.Upstream
	for _, u := range set.Upstreams {
		if !isJudged(u) {
			continue
		}
		j := outlier.Upstream{Name: u.Name, Config: *u.Outlier}
		for _, e := range u.Endpoints {
			j.Endpoints = append(j.Endpoints, netip.AddrPortFrom(e.Address, e.Port))
		}
		judged = append(judged, j)
	}
	o.detector.Apply(judged, o.clock.Now())
	for _, u := range change.Gone { // an upstream that is no longer judged has no ejected endpoints, nor has an endpoint that is gone
		if isJudged(u) {
			o.eject(u.Name)
		}
	}
	select {
	case o.wake <- struct{}{}:
	default: // run is about to wake already
	}
}

// run has the detector end each interval when it is over, until ctx ends.
func (o *outliers) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		case <-timer.C:
		}
		now := o.clock.Now()
		if next, ok := o.detector.Sweep(now); ok {
			timer.Reset(max(next.Sub(now), 0))
		}
	}
}

// report gives the outcomes of calls at endpoints to the detector.
func (o *outliers) report(upstream string, outcomes []outlier.Outcome) {
	o.detector.Report(upstream, outcomes, o.clock.Now())
}

// observe gets an event of the detector. It logs the event, and sends the proxies the ejections that follow from it.
func (o *outliers) observe(e outlier.Event) {
	if e.Kind != outlier.Detected {
		o.eject(e.Upstream)
	}
	logs.LogEjection(o.log, e, o.clock.Wall)
}

// eject sends the proxies the endpoints of an upstream that are ejected now. Another goroutine may eject one more and send
// that first, before what this one has read. So it reads again after it has sent, until nothing is new.
func (o *outliers) eject(upstream string) {
	ejected := o.detector.Ejected(upstream)
	for {
		if err := o.proxies.Eject(upstream, ejected); err != nil {
			o.log.Error("the ejected endpoints cannot be sent; proxies keep the ones that they have", "service", upstream, "error", err.Error())
			return
		}
		sent := ejected
		if ejected = o.detector.Ejected(upstream); slices.Equal(ejected, sent) {
			return
		}
	}
}
