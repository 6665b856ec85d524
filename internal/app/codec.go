package app

import (
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// exactCodec marshals a response with resources into a buffer of exactly its size. gRPC's own codec takes a buffer of
// 1 MiB for every message above 32 KiB, and such a buffer stays in use while a proxy does not read.
type exactCodec struct{ encoding.CodecV2 }

// Marshal implements [encoding.CodecV2].
func (c exactCodec) Marshal(v any) (mem.BufferSlice, error) {
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
