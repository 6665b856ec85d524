package feed

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec for all else
	"google.golang.org/grpc/mem"
)

// frame is a message as it came.
type frame struct{ data mem.Buffer }

// codec leaves messages of the access log as they came, and all others to gRPC's own.
type codec struct{ encoding.CodecV2 }

// Codec is what a gRPC server has to use that [Server.Register] was called on
// (grpc.ForceServerCodecV2). Unmarshaling a log entry would cost more than all that
// is done with it.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2("proto")} }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if f, ok := v.(*frame); ok {
		f.data = data.MaterializeToBuffer(mem.DefaultBufferPool())
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}
