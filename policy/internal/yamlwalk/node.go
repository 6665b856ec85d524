package yamlwalk

import "go.yaml.in/yaml/v3"

// node is the part of a [yaml.Node] that a walk needs. Policies are kept for as long as their files have them, so it
// takes half of the memory.
type node struct {
	value   string
	tag     string // in its short form
	marks   *marks // nil: none were written
	content []node // items, or keys and values in turn
	line    int32
	column  int32
	kind    yaml.Kind
	style   yaml.Style
}

// marks are an anchor and a tag as they were written; "": none.
type marks struct{ anchor, tag string }

// words are the texts of one file, each once: most of them are the names of fields.
type words map[string]string

func (w words) one(text string) string {
	if known, ok := w[text]; ok {
		return known
	}
	w[text] = text
	return text
}

// node returns what a walk needs of a node.
func (w words) node(from *yaml.Node) node {
	n := node{
		value: w.one(from.Value), tag: w.one(from.ShortTag()),
		line: int32(from.Line), column: int32(from.Column), kind: from.Kind, style: from.Style,
	}
	if from.Anchor != "" || from.Style&yaml.TaggedStyle != 0 {
		n.marks = &marks{from.Anchor, from.Tag}
	}
	if len(from.Content) > 0 {
		n.content = make([]node, len(from.Content))
		for i, c := range from.Content {
			n.content[i] = w.node(c)
		}
	}
	return n
}
