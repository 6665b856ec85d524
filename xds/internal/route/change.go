package route

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/filter"
)

// change makes one difference between a breaker's routes. It may change the given route, which is a copy.
type change func(r *routev3.Route, b *policy.Breaker, a Assumptions) error

// ifRejected has the route match only requests that the control plane has rejected.
func ifRejected(r *routev3.Route, _ *policy.Breaker, _ Assumptions) error {
	return onlyMarked(r, wire.RejectedKey)
}

// ifAdmitted has the route match only requests that the control plane has admitted.
func ifAdmitted(r *routev3.Route, _ *policy.Breaker, _ Assumptions) error {
	return onlyMarked(r, wire.AdmittedKey)
}

func onlyMarked(r *routev3.Route, mark string) error {
	r.Match.DynamicMetadata = append(r.Match.DynamicMetadata, filter.Marked(mark))
	return nil
}

// markForLog has all requests of the route logged.
func markForLog(r *routev3.Route, _ *policy.Breaker, _ Assumptions) error {
	return filter.MarkForLog(r)
}

// askExtProc has the control plane decide on each request of the route, which leads to the service. A request that cannot
// ask is admitted.
func askExtProc(r *routev3.Route, b *policy.Breaker, a Assumptions) error {
	return filter.AskExtProc(r, a.Protocol, b, false)
}

// askForPermit has each request of the route ask the control plane for a permit. The route leads to the fallback, so a
// request that cannot ask falls back. If the answer admits the request, it marks it and has it routed again; then the
// request matches the route before this one, which leads to the service: see ifAdmitted.
func askForPermit(r *routev3.Route, b *policy.Breaker, a Assumptions) error {
	return filter.AskExtProc(r, a.Protocol, b, true)
}

// addTimes has the response of the service say to the control plane when it came.
func addTimes(r *routev3.Route, _ *policy.Breaker, _ Assumptions) error {
	filter.AddTimes(r)
	return nil
}

// keepCopies keeps copies of responses for the fallback.
func keepCopies(r *routev3.Route, b *policy.Breaker, a Assumptions) error {
	return filter.KeepCopies(r, a.Protocol, b)
}
