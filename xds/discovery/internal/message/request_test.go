package message

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// FuzzDeltaRequest: a request that the generated code takes is read in the same way.
func FuzzDeltaRequest(f *testing.F) {
	for _, m := range []*discoveryv3.DeltaDiscoveryRequest{
		{},
		{
			Node: &corev3.Node{Id: "a", Cluster: "shop"}, TypeUrl: "type", ResponseNonce: "1", ErrorDetail: &rpcstatus.Status{Code: 13, Message: "no"},
			ResourceNamesSubscribe: []string{"a", "", "b"}, ResourceNamesUnsubscribe: []string{"*"}, InitialResourceVersions: map[string]string{"a": "1", "": ""},
		},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(slices.Concat(b, b, []byte{0x98, 0x06, 0x01}))
	}
	f.Add([]byte{0x12, 0x01, 0xff})                   // not UTF-8
	f.Add([]byte{0x2a, 0x03, 0x0a, 0x01, 0xff})       // in the map
	f.Add([]byte{0x0a, 0x03, 0x0a, 0x01, 0xff, 0x10}) // in the node
	f.Fuzz(func(t *testing.T, b []byte) {
		want, r := &discoveryv3.DeltaDiscoveryRequest{}, &DeltaRequest{}
		wrong := proto.Unmarshal(b, want)
		err := r.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b[:len(b)/2]), mem.SliceBuffer(b[len(b)/2:])})
		if wrong != nil {
			return // it may be wrong in a field that is skipped
		}
		if err != nil {
			t.Fatalf("got error %v, want none", err)
		}
		versions := map[string]string{}
		for _, v := range r.Versions {
			versions[v.Name] = v.Version
		}
		got := &discoveryv3.DeltaDiscoveryRequest{
			Node: r.Node, TypeUrl: r.TypeURL, ResponseNonce: r.Nonce, ErrorDetail: r.Refused,
			ResourceNamesSubscribe: r.Subscribe, ResourceNamesUnsubscribe: r.Unsubscribe, InitialResourceVersions: versions,
		}
		if !maps.Equal(versions, want.InitialResourceVersions) {
			t.Fatalf("got versions %v, want %v", versions, want.InitialResourceVersions)
		}
		got.ProtoReflect().SetUnknown(nil)
		want.ProtoReflect().SetUnknown(nil)
		want.ResourceLocatorsSubscribe, want.ResourceLocatorsUnsubscribe = nil, nil
		if !proto.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

// BenchmarkDeltaRequest reads the request of a proxy that comes back with 5,000 resources, beside the generated code.
func BenchmarkDeltaRequest(b *testing.B) {
	m := &discoveryv3.DeltaDiscoveryRequest{InitialResourceVersions: map[string]string{}}
	for i := range 5_000 {
		m.InitialResourceVersions[fmt.Sprintf("u%05d", i)] = "SGVsbG8hIQo"
	}
	data, err := proto.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := new(DeltaRequest).Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("generated", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := proto.Unmarshal(data, new(discoveryv3.DeltaDiscoveryRequest)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
