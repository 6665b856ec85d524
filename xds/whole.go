package xds

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/resource"
	"breakwater.dev/xds/internal/route"
)

// WholeRoutes returns the route configuration with its virtual hosts within it, as a proxy needs it that gets no virtual
// hosts as resources: see [VirtualHostType].
func WholeRoutes(hosts *List) *List {
	type key struct{}
	if hosts.Len() == 0 {
		return whole(hosts)
	}
	return resource.Remember(hosts, key{}, func() *List { return whole(hosts) })
}

// whole puts the marshalled virtual hosts behind the marshalled rest, which makes one message of them.
func whole(hosts *List) *List {
	const virtualHosts protowire.Number = 2 // in RouteConfiguration
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(route.Whole())
	if err != nil {
		panic("xds: the route configuration cannot be marshalled: " + err.Error())
	}
	for _, r := range hosts.All() {
		b = protowire.AppendBytes(protowire.AppendTag(b, virtualHosts, protowire.BytesType), r.Value())
	}
	body := &anypb.Any{TypeUrl: RouteType, Value: b}
	var pool *Pool
	return pool.List([]*Resource{resource.New(wire.RoutesName, resource.VersionOf(b), body)})
}
