package filter

import (
	"time"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	headermutationv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/header_mutation/v3"

	"breakwater.dev/wire"
)

// StreamIdleTimeout ends a request without data in either direction, if its route has a timeout at all. It is Envoy's own
// default. The listener sets it, and routes that have a longer one build on it.
const StreamIdleTimeout = 5 * time.Minute

// AddTimes has a route add a header to each response, from which ext_proc reads when the request ended and when the
// response came. A route on the way there has to ask ext_proc, which also removes the header: see [AskExtProc].
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
