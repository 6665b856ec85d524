package bootstrap

import (
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
)

const text = `node:
  metadata: {listen: "127.0.0.1:10000", calls: [one, two]}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC}
layered_runtime:
  layers:
  - {name: fixed, static_layer: {a: 1}}
  - {name: a, rtds_layer: {name: first, rtds_config: {ads: {}}}}
  - {name: b, rtds_layer: {name: second, rtds_config: {api_config_source: {api_type: DELTA_GRPC}}}}
  - {name: c, rtds_layer: {name: third, rtds_config: {api_config_source: {api_type: GRPC}}}}
`

func TestParse(t *testing.T) {
	b, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []Layer{{Name: "first", OverADS: true}, {Name: "second", Delta: true}, {Name: "third"}}
	if !b.Delta || !slices.Equal(b.Layers, want) {
		t.Errorf("delta %t, layers %+v, want delta and %+v", b.Delta, b.Layers, want)
	}
	for name, change := range map[string][2]string{
		"the aggregated stream": {"ads_config: {api_type: DELTA_GRPC}", "ads_config: {api_type: REST}"},
		"a layer":               {"api_type: GRPC}", "api_type: REST}"},
		"no YAML":               {"node:", "node: ["},
	} {
		if b, err := Parse([]byte(strings.Replace(text, change[0], change[1], 1))); err == nil {
			t.Errorf("%s: read as %+v, want an error", name, b)
		}
	}
}

func TestNode(t *testing.T) {
	b, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	node := func(upstreams []string) *corev3.Node {
		packed, err := b.Node("me", upstreams)
		if err != nil {
			t.Fatal(err)
		}
		n := &corev3.Node{}
		if err := proto.Unmarshal(packed, n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	all := node(nil)
	if v := all.GetUserAgentBuildVersion().GetVersion(); all.GetId() != "me" || all.GetCluster() != Workload || v.GetMajorNumber() != 1 || v.GetMinorNumber() != 40 || len(all.GetExtensions()) != extensions {
		t.Errorf("got %v", all)
	}
	if fields := all.GetMetadata().GetFields(); fields["listen"].GetStringValue() != "127.0.0.1:10000" || fields["calls"] != nil {
		t.Errorf("a proxy that gets all upstreams has the metadata %v", fields)
	}
	list := node([]string{"x"}).GetMetadata().GetFields()["calls"].GetListValue().GetValues()
	if len(list) != 1 || list[0].GetStringValue() != "x" {
		t.Errorf("a proxy with a list has %v", list)
	}
	b.list = ""
	if _, err := b.Node("me", []string{"x"}); err == nil {
		t.Error("a bootstrap without a list got one")
	}
}
