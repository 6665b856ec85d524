// Package bootstrap reads the configuration that a control plane prints for its proxies.
//
// In: a bootstrap of Envoy, as YAML.
// Out: the runtime layers and the variant of the protocol; how a proxy describes itself.
// Called by: the simulated proxies.
// Never: reads more of the bootstrap than it needs.
// Concurrency: a Bootstrap is immutable.
package bootstrap

import (
	"fmt"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// Bootstrap has the parts of a bootstrap that a simulated proxy needs.
type Bootstrap struct {
	Layers   []Layer
	Delta    bool // the aggregated stream uses the incremental variant of the protocol, not the state of the world
	metadata map[string]any
	list     string // the key in metadata whose value is the list of upstreams; empty: there is none
}

// Layer is a runtime layer that a proxy asks for.
type Layer struct {
	Name    string
	OverADS bool // it comes over the aggregated stream; otherwise the layer has a stream of its own
	Delta   bool // the variant of the protocol of its own stream
}

// source is an envoy.config.core.v3.ConfigSource, or an ApiConfigSource.
type source struct {
	ADS     *struct{} `yaml:"ads"`
	APIType string    `yaml:"api_type"`
	API     *source   `yaml:"api_config_source"`
}

// isDelta reads an api_type.
func (s *source) isDelta() (bool, error) {
	switch s.APIType {
	case "DELTA_GRPC":
		return true, nil
	case "GRPC":
		return false, nil
	}
	return false, fmt.Errorf("the bootstrap has the api_type %q; simulated proxies know GRPC and DELTA_GRPC", s.APIType)
}

// Parse reads a bootstrap.
func Parse(text []byte) (*Bootstrap, error) {
	var from struct {
		Node struct {
			Metadata map[string]any `yaml:"metadata"`
		} `yaml:"node"`
		Dynamic struct {
			ADS source `yaml:"ads_config"`
		} `yaml:"dynamic_resources"`
		Runtime struct {
			Layers []struct {
				RTDS *struct {
					Name   string `yaml:"name"`
					Source source `yaml:"rtds_config"`
				} `yaml:"rtds_layer"`
			} `yaml:"layers"`
		} `yaml:"layered_runtime"`
	}
	if err := yaml.Unmarshal(text, &from); err != nil {
		return nil, fmt.Errorf("the bootstrap: %w", err)
	}
	b := &Bootstrap{metadata: from.Node.Metadata}
	var err error
	if b.Delta, err = from.Dynamic.ADS.isDelta(); err != nil {
		return nil, err
	}
	for _, l := range from.Runtime.Layers {
		if l.RTDS == nil {
			continue
		}
		layer := Layer{Name: l.RTDS.Name, OverADS: l.RTDS.Source.API == nil}
		if !layer.OverADS {
			if layer.Delta, err = l.RTDS.Source.API.isDelta(); err != nil {
				return nil, err
			}
		}
		b.Layers = append(b.Layers, layer)
	}
	for key, value := range b.metadata {
		if _, ok := value.([]any); ok {
			b.list = key
		}
	}
	return b, nil
}

// Workload is the node.cluster of all simulated proxies.
const Workload = "fleet"

// Node returns a packed envoy.config.core.v3.Node. upstreams are the upstreams that the proxy calls, in place of the list in
// the bootstrap; nil: all.
func (b *Bootstrap) Node(id string, upstreams []string) ([]byte, error) {
	metadata := map[string]any{}
	for key, value := range b.metadata {
		if key != b.list {
			metadata[key] = value
		}
	}
	if upstreams != nil {
		if b.list == "" {
			return nil, fmt.Errorf("the bootstrap has no list of upstreams in its metadata")
		}
		var list []any
		for _, u := range upstreams {
			list = append(list, u)
		}
		metadata[b.list] = list
	}
	fields, err := structpb.NewStruct(metadata)
	if err != nil {
		return nil, fmt.Errorf("the metadata of a node: %w", err)
	}
	packed, err := proto.MarshalOptions{Deterministic: true}.Marshal(fields)
	if err != nil {
		return nil, err
	}
	var out []byte
	out = protowire.AppendString(protowire.AppendTag(out, 1, protowire.BytesType), id)
	out = protowire.AppendString(protowire.AppendTag(out, 2, protowire.BytesType), Workload)
	out = protowire.AppendBytes(protowire.AppendTag(out, 3, protowire.BytesType), packed)
	return append(out, envoy...), nil
}

// envoy has the fields that an Envoy adds to its node: its version, and its extensions.
var envoy = func() (out []byte) {
	text := func(out []byte, number protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(out, number, protowire.BytesType), s)
	}
	number := func(out []byte, number protowire.Number, n uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(out, number, protowire.VarintType), n)
	}
	bytes := func(out []byte, number protowire.Number, b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(out, number, protowire.BytesType), b)
	}
	out = text(out, 6, "envoy")                                          // user_agent_name
	out = bytes(out, 8, bytes(nil, 1, number(number(nil, 1, 1), 2, 40))) // user_agent_build_version.version 1.40
	for i := range extensions {
		extension := text(nil, 1, fmt.Sprintf("envoy.filters.http.extension_%03d", i)) // name
		extension = text(extension, 2, "envoy.filters.http")                           // category
		extension = text(extension, 5, fmt.Sprintf("envoy.extensions.filters.http.extension_%03d.v3.Extension", i))
		out = bytes(out, 9, extension)
	}
	return out
}()

// extensions is how many extensions a simulated proxy says that it has. With them, its node is as large as the
// node of an Envoy 1.40.
const extensions = 535
