package message

import (
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/xds/internal/resource"
)

// Response is one message to a proxy, in either variant.
type Response struct {
	TypeURL   string
	Nonce     string
	Version   string               // the version of all the resources together, in SotW only
	Resources []*resource.Resource // new, changed and repeated ones
	Removed   []string             // names of resources that no longer exist, sorted, in delta only
	// TTLs says how long the proxy keeps resources if they are not sent again or renewed, by name; others for ever.
	TTLs map[string]time.Duration
	Bare map[string]bool // the names of resources that come without their content, in delta only
}

// Size returns the size of the resources, in bytes, as delta responses have them.
func (r *Response) Size() int {
	size := 0
	for _, res := range r.Resources {
		if r.Bare[res.Name] {
			size += len(limited(res, r.TTLs[res.Name]))
			continue
		}
		size += res.Size()
	}
	return size
}

// Memory returns the memory that the response takes until it is sent, in bytes, by estimate. It does not count the content of the
// resources, which all proxies share.
func (r *Response) Memory() int {
	memory := responseMemory + len(r.Resources)*referenceMemory
	for _, name := range r.Removed {
		memory += len(name)
	}
	return memory
}

const (
	responseMemory  = 1024
	referenceMemory = 32
)

// Frame is a marshalled response. All proxies share the bytes of the resources.
type Frame struct{ buffers mem.BufferSlice }

// Buffers returns the bytes, which must not be changed.
func (f Frame) Buffers() mem.BufferSlice { return f.buffers }

// add adds bytes, which the caller must not change afterwards.
func (f *Frame) add(b []byte) { f.buffers = append(f.buffers, mem.SliceBuffer(b)) }

// The numbers of the fields, which are the same for both kinds of responses where both have the field.
const (
	fieldVersion   protowire.Number = 1 // DiscoveryResponse.version_info
	fieldResources protowire.Number = 2
	fieldTypeURL   protowire.Number = 4
	fieldNonce     protowire.Number = 5
	fieldRemoved   protowire.Number = 6 // DeltaDiscoveryResponse.removed_resources

	fieldResourceVersion protowire.Number = 1 // Resource.version
	fieldResourceName    protowire.Number = 3 // Resource.name
	fieldResourceTTL     protowire.Number = 6 // Resource.ttl
	fieldAnyTypeURL      protowire.Number = 1 // Any.type_url
	fieldAnyValue        protowire.Number = 2 // Any.value
)

// resourceType is the type of a resource that is wrapped in a response of SotW together with its TTL.
const resourceType = "type.googleapis.com/envoy.service.discovery.v3.Resource"

func appendString(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

// Delta marshals the response as a DeltaDiscoveryResponse.
func (r *Response) Delta() Frame {
	f := Frame{buffers: make(mem.BufferSlice, 0, len(r.Resources)+1)}
	head := appendString(appendString(nil, fieldTypeURL, r.TypeURL), fieldNonce, r.Nonce)
	for _, name := range r.Removed {
		head = appendString(head, fieldRemoved, name)
	}
	f.add(head)
	for _, res := range r.Resources {
		ttl := r.TTLs[res.Name]
		if ttl == 0 {
			f.buffers = append(f.buffers, res.Delta())
			continue
		}
		inner := limited(res, ttl)
		if r.Bare[res.Name] {
			f.add(protowire.AppendBytes(protowire.AppendTag(nil, fieldResources, protowire.BytesType), inner))
			continue
		}
		packed := res.Sotw()
		field := protowire.AppendTag(nil, fieldResources, protowire.BytesType)
		field = protowire.AppendVarint(field, uint64(len(inner)+packed.Len()))
		f.add(append(field, inner...))
		f.buffers = append(f.buffers, packed)
	}
	return f
}

// Sotw marshals the response as a DiscoveryResponse. A resource with a time to live is wrapped together with that time (xDS protocol,
// "TTL").
func (r *Response) Sotw() Frame {
	f := Frame{buffers: make(mem.BufferSlice, 0, len(r.Resources)+1)}
	f.add(appendString(appendString(appendString(nil, fieldVersion, r.Version), fieldTypeURL, r.TypeURL), fieldNonce, r.Nonce))
	for _, res := range r.Resources {
		packed := res.Sotw()
		ttl := r.TTLs[res.Name]
		if ttl == 0 {
			f.buffers = append(f.buffers, packed)
			continue
		}
		inner := limited(res, ttl)
		value := protowire.AppendTag(nil, fieldAnyValue, protowire.BytesType)
		value = protowire.AppendVarint(value, uint64(len(inner)+packed.Len()))
		wrapped := append(appendString(nil, fieldAnyTypeURL, resourceType), value...)
		field := protowire.AppendTag(nil, fieldResources, protowire.BytesType)
		field = protowire.AppendVarint(field, uint64(len(wrapped)+len(inner)+packed.Len()))
		f.add(append(append(field, wrapped...), inner...))
		f.buffers = append(f.buffers, packed)
	}
	return f
}

// limited returns the fields of a Resource other than its message.
func limited(r *resource.Resource, ttl time.Duration) []byte {
	d := durationpb.New(ttl)
	var duration []byte
	for field, v := range map[protowire.Number]uint64{1: uint64(d.Seconds), 2: uint64(d.Nanos)} {
		if v != 0 {
			duration = protowire.AppendVarint(protowire.AppendTag(duration, field, protowire.VarintType), v)
		}
	}
	b := appendString(appendString(nil, fieldResourceName, r.Name), fieldResourceVersion, r.Version)
	return protowire.AppendBytes(protowire.AppendTag(b, fieldResourceTTL, protowire.BytesType), duration)
}
