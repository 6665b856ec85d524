package feed

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec for all other messages
	"google.golang.org/grpc/mem"
)

// frame is an encoded message.
type frame struct{ data mem.Buffer }

// codec leaves the messages of access logs encoded. All others it decodes and encodes as gRPC does.
type codec struct{ encoding.CodecV2 }

// Codec returns the codec that a gRPC server must have (grpc.ForceServerCodecV2) to be given to [Server.Register]. Decoding an
// entry into generated types would cost more than all else that is done with it.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2("proto")} }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*frame); ok {
		f.data = data.MaterializeToBuffer(mem.DefaultBufferPool())
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}
