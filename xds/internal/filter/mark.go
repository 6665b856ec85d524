package filter

import (
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	setmetadatav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/set_metadata/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/wire"
)

// MarkForLog has a route mark its requests with [wire.LoggedKey], so that all of them are logged. A request header could do
// the same, but it would reach the upstream, and clients could forge it.
func MarkForLog(r *routev3.Route) error { return turnOn(r, markFilter) }

func mark() *setmetadatav3.Config {
	return &setmetadatav3.Config{Metadata: []*setmetadatav3.Metadata{{
		MetadataNamespace: wire.Namespace,
		Value: &structpb.Struct{Fields: map[string]*structpb.Value{
			wire.LoggedKey: structpb.NewBoolValue(true),
		}},
	}}}
}

// Marked matches requests that have one of the marks whose value is true: see [wire.Namespace].
func Marked(key string) *matcherv3.MetadataMatcher {
	return &matcherv3.MetadataMatcher{
		Filter: wire.Namespace,
		Path: []*matcherv3.MetadataMatcher_PathSegment{{
			Segment: &matcherv3.MetadataMatcher_PathSegment_Key{Key: key},
		}},
		Value: &matcherv3.ValueMatcher{MatchPattern: &matcherv3.ValueMatcher_BoolMatch{BoolMatch: true}},
	}
}
