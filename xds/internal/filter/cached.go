package filter

import (
	_ "embed" // the script below
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/policy"
)

//go:embed cached.lua
var cachedScript string

// copies keeps copies of responses and serves them. All routes share one script, since each script has a state of its own.
func copies() *luav3.Lua {
	var names strings.Builder
	for _, name := range policy.IrrelevantHeaders() {
		fmt.Fprintf(&names, "  [%q] = true,\n", name)
	}
	return &luav3.Lua{DefaultSourceCode: &corev3.DataSource{
		Specifier: &corev3.DataSource_InlineString{InlineString: "local irrelevant = {\n" + names.String() + "}\n" + cachedScript},
	}}
}

// KeepCopies has a route that leads to the service keep copies of its responses, if the breaker's fallback has any.
func KeepCopies(r *routev3.Route, p policy.Protocol, b *policy.Breaker) error {
	return useCopies(r, p, b, false)
}

// ServeCopies has a route answer with a copy of an earlier response where there is one, if the breaker's fallback has any.
// Otherwise the route's own response stays.
func ServeCopies(r *routev3.Route, p policy.Protocol, b *policy.Breaker) error {
	return useCopies(r, p, b, true)
}

func useCopies(r *routev3.Route, p policy.Protocol, b *policy.Breaker, serve bool) error {
	c := b.Fallback.Cached
	if c == nil {
		return nil
	}
	// The names are those that cached.lua reads.
	return configure(r, cachedFilter, &luav3.LuaPerRoute{FilterContext: &structpb.Struct{Fields: map[string]*structpb.Value{
		"breaker":     structpb.NewStringValue(b.Spec.Key.String()),
		"serve":       structpb.NewBoolValue(serve),
		"ttl":         structpb.NewNumberValue(c.TTL.Seconds()),
		"entries":     structpb.NewNumberValue(float64(c.MaxEntries)),
		"bytes":       structpb.NewNumberValue(float64(c.MaxBytes)),
		"body":        structpb.NewNumberValue(float64(c.MaxBodyBytes)),
		"credentials": structpb.NewBoolValue(c.WithCredentials),
		"headers":     structpb.NewStringValue(strings.Join(c.KeyHeaders, ",")),
		"framed":      structpb.NewBoolValue(p != policy.HTTP1),
	}}})
}
