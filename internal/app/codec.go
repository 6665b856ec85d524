package app

import (
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// exact marshals responses with resources into as many bytes as they have. gRPC's own codec takes
// 1 MiB for whatever has more than 32 KiB, which waits for proxies that do not read.
type exact struct{ encoding.CodecV2 }

// Marshal implements [encoding.CodecV2].
func (c exact) Marshal(v any) (mem.BufferSlice, error) {
	switch m := v.(type) {
	case *discoveryv3.DeltaDiscoveryResponse:
		return marshal(m)
	case *discoveryv3.DiscoveryResponse:
		return marshal(m)
	}
	return c.CodecV2.Marshal(v)
}

func marshal(m proto.Message) (mem.BufferSlice, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}
