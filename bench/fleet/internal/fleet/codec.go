package fleet

import (
	"sync"

	"google.golang.org/grpc/mem"

	"breakwater.dev/bench/fleet/internal/xdswire"
)

// message holds the bytes of a request, or the function that gets the bytes of a response.
type message struct {
	bytes []byte
	// take gets the bytes of a response, which it must not keep.
	take func(bytes []byte) error
}

// responses has messages that were read. A proxy keeps none: it would keep the bytes in it, too.
var responses = sync.Pool{New: func() any { return new(xdswire.Response) }}

func newResponse() *xdswire.Response { return responses.Get().(*xdswire.Response) }

// free returns nil.
func free(r *xdswire.Response) *xdswire.Response {
	clear(r.Resources)
	clear(r.Removed)
	*r = xdswire.Response{Resources: r.Resources[:0], Removed: r.Removed[:0]}
	responses.Put(r)
	return nil
}

// rawCodec leaves encoding and decoding to its callers.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.(*message).bytes)}, nil
}

// whole has buffers for responses of more than one part. Some are megabytes, and thousands of them arrive at the same time.
var whole = sync.Pool{New: func() any { return new([]byte) }}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m := v.(*message)
	if len(data) == 1 {
		return m.take(data[0].ReadOnlyData())
	}
	buffer := whole.Get().(*[]byte)
	defer whole.Put(buffer)
	*buffer = (*buffer)[:0]
	for _, part := range data {
		*buffer = append(*buffer, part.ReadOnlyData()...)
	}
	return m.take(*buffer)
}
