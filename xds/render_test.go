package xds

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"pgregory.net/rapid"

	"breakwater.dev/policy"
)

// Both formats, read back, are the resources that went in.
func TestRenderLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rs := translate(t, &policy.Set{Upstreams: []*policy.Upstream{drawUpstream(t, "u")}})
		var want []*anypb.Any
		for _, url := range Types {
			for _, r := range rs[url].All() {
				want = append(want, r.Body())
			}
		}
		asYAML, asJSON := readBackYAML(t, render(t, rs, "yaml")), readBackJSON(t, render(t, rs, "json"))
		same := func(a, b *anypb.Any) bool { return a.GetTypeUrl() == b.GetTypeUrl() && equalInside(t, a, b) }
		if !slices.EqualFunc(asYAML, want, same) {
			t.Errorf("YAML reads back as %v, want %v", asYAML, want)
		}
		if !slices.EqualFunc(asJSON, want, same) {
			t.Errorf("JSON reads back as %v, want %v", asJSON, want)
		}
	})
}

func render(t rapid.TB, rs Resources, format string) []byte {
	t.Helper()
	out, err := Render(rs, format)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// equalInside compares the content of two messages, since the bytes of nested messages may differ.
func equalInside(t rapid.TB, a, b *anypb.Any) bool {
	t.Helper()
	ma, err := a.UnmarshalNew()
	if err != nil {
		t.Fatal(err)
	}
	mb, err := b.UnmarshalNew()
	if err != nil {
		t.Fatal(err)
	}
	return proto.Equal(ma, mb)
}

func readBackYAML(t rapid.TB, data []byte) []*anypb.Any {
	t.Helper()
	var out []*anypb.Any
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document map[string]any
		if decoder.Decode(&document) != nil {
			return out
		}
		text, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, readBack(t, text))
	}
}

func readBackJSON(t rapid.TB, data []byte) []*anypb.Any {
	t.Helper()
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	var out []*anypb.Any
	for _, text := range list {
		out = append(out, readBack(t, text))
	}
	return out
}

func readBack(t rapid.TB, text []byte) *anypb.Any {
	t.Helper()
	m := new(anypb.Any)
	if err := protojson.Unmarshal(text, m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRenderIsDeterministicAndTypeComesFirst(t *testing.T) {
	rs := translate(t, sampleSet())
	for _, format := range []string{"yaml", "json"} {
		first := render(t, rs, format)
		for range 5 {
			if again := render(t, rs, format); !bytes.Equal(first, again) {
				t.Fatalf("%s: printed differently the second time", format)
			}
		}
	}
	for _, document := range strings.Split(string(render(t, rs, "yaml")), "\n---\n") {
		if !strings.HasPrefix(document, "'@type': type.googleapis.com/envoy.") {
			t.Errorf("a document begins with %.60q, want its type", document)
		}
	}
}

func TestRenderWithoutResources(t *testing.T) {
	if got := string(render(t, nil, "json")); got != "[]\n" {
		t.Errorf("json: got %q, want an empty array", got)
	}
	if got := string(render(t, nil, "yaml")); got != "" {
		t.Errorf("yaml: got %q, want nothing", got)
	}
}

func TestRenderKnowsTwoFormats(t *testing.T) {
	if got, err := Render(nil, "xml"); err == nil || got != nil {
		t.Errorf("got %q, %v, want an error and nothing else", got, err)
	}
}
