package message

import (
	"bytes"
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// JSON prints messages as one array, with their fields named as in Envoy's documentation.
func JSON(messages []proto.Message) ([]byte, error) {
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

// YAML prints one document for each message, with its fields in the order of their .proto files.
func YAML(messages []proto.Message) ([]byte, error) {
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
			return nil, fmt.Errorf("rendering %s: %w", TypeURL(m), err)
		}
		if err := toBlockStyle(&document); err != nil {
			return nil, fmt.Errorf("rendering %s: %w", TypeURL(m), err)
		}
		if err := encoder.Encode(&document); err != nil {
			return nil, fmt.Errorf("rendering %s: %w", TypeURL(m), err)
		}
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("rendering YAML: %w", err)
	}
	return out.Bytes(), nil
}

// marshalJSON names fields as Envoy's documentation does. Package protojson puts in spaces at random, on purpose, so
// callers print the text again.
func marshalJSON(m proto.Message) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", TypeURL(m), err)
	}
	return text, nil
}

// toBlockStyle drops the quotes and braces of JSON. A string keeps its quotes where a version of YAML would read something
// else: Envoy's parser takes n for false.
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
