package discovery

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"

	"breakwater.dev/xds/discovery/internal/message"
)

// codec passes on responses that are marshalled already, and reads requests of delta xDS.
type codec struct{ encoding.CodecV2 }

// Codec returns the codec that a gRPC server must have (grpc.ForceServerCodecV2) to be given to [Server.Register]. It treats
// the messages of all other services as another codec does. Responses have their resources marshalled already, since all
// proxies share the bytes. Requests of delta xDS are read without a copy of each name.
func Codec(others encoding.CodecV2) encoding.CodecV2 { return codec{others} }

// Unmarshal implements [encoding.CodecV2].
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if request, ok := v.(*message.DeltaRequest); ok {
		return request.Unmarshal(data)
	}
	return c.CodecV2.Unmarshal(data, v)
}

// Marshal implements [encoding.CodecV2].
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if frame, ok := v.(message.Frame); ok {
		return frame.Buffers(), nil
	}
	return c.CodecV2.Marshal(v)
}
