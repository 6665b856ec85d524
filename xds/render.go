package xds

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Render prints resources for people, in the order of [Types] and then by name:
// with format "yaml" one document for each, with "json" one array. Equal
// resources print equal bytes. A format that is neither is an error.
func Render(rs Resources, format string) ([]byte, error) {
	var bodies []proto.Message
	for _, url := range Types {
		for _, r := range rs[url] {
			bodies = append(bodies, r.Body)
		}
	}
	switch format {
	case "yaml":
		return renderYAML(bodies)
	case "json":
		return renderJSON(bodies)
	}
	return nil, fmt.Errorf("format %q is neither yaml nor json", format)
}

func renderJSON(messages []proto.Message) ([]byte, error) {
	list := make([]json.RawMessage, len(messages))
	for i, m := range messages {
		text, err := marshalJSON(m)
		if err != nil {
			return nil, err
		}
		list[i] = text
	}
	out, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("rendering JSON: %w", err)
	}
	return append(out, '\n'), nil
}

// renderYAML prints one document for each message, fields in the order of their
// .proto files.
func renderYAML(messages []proto.Message) ([]byte, error) {
	if len(messages) == 0 {
		return nil, nil // the encoder cannot close a stream that it never began
	}
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	for _, m := range messages {
		text, err := marshalJSON(m)
		if err != nil {
			return nil, err
		}
		// JSON is YAML, and a node keeps the order of its keys.
		var document yaml.Node
		if err := yaml.Unmarshal(text, &document); err != nil {
			return nil, fmt.Errorf("rendering %s: %w", typeURL(m), err)
		}
		if err := toBlockStyle(&document); err != nil {
			return nil, fmt.Errorf("rendering %s: %w", typeURL(m), err)
		}
		if err := encoder.Encode(&document); err != nil {
			return nil, fmt.Errorf("rendering %s: %w", typeURL(m), err)
		}
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("rendering YAML: %w", err)
	}
	return out.Bytes(), nil
}

// marshalJSON names fields as Envoy's documentation does. Package protojson puts
// in spaces at random, on purpose; callers print the text anew.
func marshalJSON(m proto.Message) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", typeURL(m), err)
	}
	return text, nil
}

// toBlockStyle drops the quotes and braces of JSON. Strings keep quotes where one
// of YAML's versions would read something else: Envoy's parser takes n for false.
func toBlockStyle(n *yaml.Node) error {
	n.Style = 0
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		return n.Encode(n.Value)
	}
	for _, child := range n.Content {
		if err := toBlockStyle(child); err != nil {
			return err
		}
	}
	return nil
}
