package filter

import (
	"time"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	headermutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"

	"breakwater.dev/wire"
)

// StreamIdleTimeout is how long a request can be without data in either direction where its route does not say. It is
// Envoy's own default. The listener sets it, and routes add it to their timeout.
const StreamIdleTimeout = 5 * time.Minute

// AddTimes has a route add [wire.TimesHeader] to each response, from which the control plane reads when the request ended
// and when the response came. The request must have asked by [AskExtProc], on this route or on the one that it took
// before: that also removes the header before the caller gets it.
func AddTimes(r *routev3.Route) {
	r.ResponseHeadersToAdd = append(r.ResponseHeadersToAdd, &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: wire.TimesHeader, Value: wire.TimesFormat},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	})
}

// hideTimes removes the header of [AddTimes] from responses before a caller gets them.
func hideTimes() *headermutationv3.HeaderMutation {
	return &headermutationv3.HeaderMutation{Mutations: &headermutationv3.Mutations{
		ResponseMutations: []*mutationv3.HeaderMutation{{
			Action: &mutationv3.HeaderMutation_Remove{Remove: wire.TimesHeader},
		}},
	}}
}
