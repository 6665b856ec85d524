package app

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"breakwater.dev/internal/driver"
	"breakwater.dev/internal/logs"
	"breakwater.dev/outlier"
	"breakwater.dev/policy"
)

// ejector has proxies leave endpoints alone.
type ejector interface {
	// Eject makes these the ejected endpoints of an upstream.
	Eject(upstream string, endpoints []netip.AddrPort) error
}

// outliers runs mesh-wide outlier detection.
type outliers struct {
	clock    driver.Clock
	proxies  ejector
	log      *slog.Logger
	detector *outlier.Detector
	wake     chan struct{} // holds one
}

func newOutliers(clock driver.Clock, proxies ejector, log *slog.Logger) *outliers {
	o := &outliers{clock: clock, proxies: proxies, log: log, wake: make(chan struct{}, 1)}
	o.detector = outlier.NewDetector(o.happened)
	return o
}

// apply takes on a policy.
func (o *outliers) apply(set *policy.Set) {
	var judged []outlier.Upstream
	for _, u := range set.Upstreams {
		if u.Outlier == nil || u.Outlier.Scope != outlier.Mesh {
			continue
		}
		j := outlier.Upstream{Name: u.Name, Config: *u.Outlier}
		for _, e := range u.Endpoints {
			j.Endpoints = append(j.Endpoints, netip.AddrPortFrom(e.Address, e.Port))
		}
		judged = append(judged, j)
	}
	before := o.detector.Snapshot()
	o.detector.Apply(judged, o.clock.Now())
	for _, s := range before { // upstreams that are no longer judged have no ejected endpoints
		o.eject(s.Upstream)
	}
	select {
	case o.wake <- struct{}{}:
	default: // it is to wake already
	}
}

// run sweeps until ctx is over.
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

// report passes the outcomes of calls at endpoints on to the detector.
func (o *outliers) report(upstream string, outcomes []outlier.Outcome) {
	o.detector.Report(upstream, outcomes, o.clock.Now())
}

// happened hears what the detector finds.
func (o *outliers) happened(e outlier.Event) {
	if e.Kind != outlier.Detected {
		o.eject(e.Upstream)
	}
	at := o.clock.Wall(e.At)
	told := logs.Ejection{
		Upstream: e.Upstream, Endpoint: e.Endpoint, Rule: e.Rule.String(),
		Ejected: e.Kind != outlier.Returned, Enforced: e.Kind != outlier.Detected, At: at, Times: e.Times,
		Figures: []slog.Attr{slog.Uint64("run", uint64(e.Run)), slog.Uint64("calls", e.Calls), slog.Uint64("failures", e.Failures)},
	}
	if e.Kind == outlier.Ejected {
		told.Until = at.Add(e.For)
	}
	logs.LogEjection(o.log, told)
}

// eject has proxies leave alone what is ejected of an upstream now.
func (o *outliers) eject(upstream string) {
	if err := o.proxies.Eject(upstream, o.detector.Ejected(upstream)); err != nil {
		o.log.Error("endpoints cannot be ejected; proxies use all of them", "service", upstream, "error", err.Error())
	}
}
