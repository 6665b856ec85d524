package protocol

import (
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/xds"
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

// deltaFrame marshals a DeltaDiscoveryResponse.
func deltaFrame(r *Response) Frame {
	f := Frame{buffers: make(mem.BufferSlice, 0, len(r.Resources)+1)}
	head := appendString(appendString(nil, fieldTypeURL, r.TypeURL), fieldNonce, r.Nonce)
	for _, name := range r.Removed {
		head = appendString(head, fieldRemoved, name)
	}
	f.add(head)
	for _, resource := range r.Resources {
		ttl := r.TTLs[resource.Name]
		if ttl == 0 {
			f.buffers = append(f.buffers, resource.Delta())
			continue
		}
		inner := limited(resource, ttl)
		if r.Bare[resource.Name] {
			f.add(protowire.AppendBytes(protowire.AppendTag(nil, fieldResources, protowire.BytesType), inner))
			continue
		}
		packed := resource.Sotw()
		field := protowire.AppendTag(nil, fieldResources, protowire.BytesType)
		field = protowire.AppendVarint(field, uint64(len(inner)+packed.Len()))
		f.add(append(field, inner...))
		f.buffers = append(f.buffers, packed)
	}
	return f
}

// sotwFrame marshals a DiscoveryResponse. A resource with a time to live is wrapped together with that time (xDS protocol,
// "TTL").
func sotwFrame(r *Response) Frame {
	f := Frame{buffers: make(mem.BufferSlice, 0, len(r.Resources)+1)}
	f.add(appendString(appendString(appendString(nil, fieldVersion, r.Version), fieldTypeURL, r.TypeURL), fieldNonce, r.Nonce))
	for _, resource := range r.Resources {
		packed := resource.Sotw()
		ttl := r.TTLs[resource.Name]
		if ttl == 0 {
			f.buffers = append(f.buffers, packed)
			continue
		}
		inner := limited(resource, ttl)
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
func limited(r *xds.Resource, ttl time.Duration) []byte {
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
