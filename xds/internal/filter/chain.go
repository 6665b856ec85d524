package filter

import (
	"sync"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"breakwater.dev/xds/internal/message"
)

// The names of the filters. A route turns a filter on by its name, so every route of a breaker repeats some of them. They
// are our own, so that they differ from filters of the same types that a foreign listener has.
const (
	// ExtProc asks the control plane about a request.
	ExtProc = "breakwater.ask"
	// NodeExtProc is ext_proc once more, for routes whose breakers belong to one proxy: it also says which proxy asks. A
	// route cannot set the attributes that a filter sends (Envoy ignores the request_attributes of ExtProcOverrides), and
	// requests of breakers that the mesh shares should not pay for them.
	NodeExtProc  = "breakwater.ask.node"
	timesFilter  = "breakwater.times"
	markFilter   = "breakwater.mark"
	cachedFilter = "breakwater.copies"
	routerFilter = "envoy.filters.http.router"
)

// Chain returns the filters of a listener in their order. All of them except the router are off until a route turns them
// on, so that a request without a breaker costs nothing. replicas says that there may be several control planes to ask.
func Chain(replicas bool) ([]*hcmv3.HttpFilter, error) {
	var chain []*hcmv3.HttpFilter
	for _, f := range []struct {
		name   string
		config message.Valid
	}{
		{timesFilter, hideTimes()}, // before the filters that ask, and so after them on the way back
		{ExtProc, extProc(nil, replicas)},
		{NodeExtProc, extProc(requestAttributes(), replicas)},
		{markFilter, mark()},
		{cachedFilter, copies()}, // behind the filters that ask, so that it serves the requests that they send to a fallback
		// Neither services nor callers get headers about timeouts, tries or times.
		{routerFilter, &routerv3.Router{SuppressEnvoyHeaders: true}},
	} {
		config, err := message.Pack(f.config)
		if err != nil {
			return nil, err
		}
		chain = append(chain, &hcmv3.HttpFilter{
			Name: f.name, Disabled: f.name != routerFilter,
			ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: config},
		})
	}
	return chain, nil
}

// configure turns a filter on for a route, with the route's own configuration of it.
func configure(r *routev3.Route, filter string, config message.Valid) error {
	packed, err := message.Pack(config)
	if err != nil {
		return err
	}
	set(r, filter, packed)
	return nil
}

// turnOn turns a filter on for a route, as the listener configures it.
func turnOn(r *routev3.Route, filter string) error {
	packed, err := asInListener()
	if err != nil {
		return err
	}
	set(r, filter, packed)
	return nil
}

// asInListener is the same for all filters and routes, so it is packed once.
var asInListener = sync.OnceValues(func() (*anypb.Any, error) {
	return message.Pack(&routev3.FilterConfig{Config: &anypb.Any{}})
})

func set(r *routev3.Route, filter string, config *anypb.Any) {
	if r.TypedPerFilterConfig == nil {
		r.TypedPerFilterConfig = map[string]*anypb.Any{}
	}
	r.TypedPerFilterConfig[filter] = config
}
