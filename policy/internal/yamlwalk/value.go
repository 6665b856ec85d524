package yamlwalk

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Value is one value of a document, with its place.
type Value struct {
	node    *yaml.Node
	name    string
	path    string
	instead string // what to show where the value was not written
	visitor *Visitor
}

// Field reads one value and reports what is wrong with it.
type Field func(Value)

// Fields are the fields an object may have.
type Fields map[string]Field

// With returns the same value for another walk.
func (v Value) With(visitor Visitor) Value {
	v.visitor = &visitor
	return v
}

// Path returns the place in the document, such as "spec.endpoints[0].port".
func (v Value) Path() string { return v.path }

// Line returns the line of the value, from 1.
func (v Value) Line() int { return v.node.Line }

// Name returns the last name of the path.
func (v Value) Name() string { return v.name }

// IsObject tells whether v is an object; nothing is reported.
func (v Value) IsObject() bool { return v.node.Kind == yaml.MappingNode }

// Has tells whether v is an object with such a field.
func (v Value) Has(name string) bool {
	_, ok := v.Get(name)
	return ok
}

// Get returns a field of v, if v is an object that has it.
func (v Value) Get(name string) (Value, bool) {
	if !v.IsObject() {
		return Value{}, false
	}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		if v.node.Content[i].Value == name {
			return v.child(name, v.node.Content[i+1]), true
		}
	}
	return Value{}, false
}

func (v Value) child(name string, node *yaml.Node) Value {
	return Value{node: node, name: name, path: join(v.path, name), visitor: v.visitor}
}

// Missing returns a field that the object v does not have. It stands where v
// stands; instead is what holds in its place.
func (v Value) Missing(name, instead string) Value {
	missing := v.child(name, v.node)
	missing.instead = instead
	return missing
}

// Fail reports the value.
func (v Value) Fail(want, rule string) { v.FailAs(v.Got(), want, rule) }

// FailAs reports the value, and got in place of what is written there.
func (v Value) FailAs(got, want, rule string) { v.visitor.Report(v.Problem(got, want, rule)) }

// Problem says what is wrong at the value's place.
func (v Value) Problem(got, want, rule string) Problem {
	return Problem{Line: v.node.Line, Col: v.node.Column, Path: v.path, Got: got, Want: want, Rule: rule}
}

// Plain returns the text of a scalar, and "" for anything else; nothing is reported.
func (v Value) Plain() string {
	if v.node.Kind != yaml.ScalarNode {
		return ""
	}
	return v.node.Value
}

// Got shows what is written, in one short line.
func (v Value) Got() string {
	switch {
	case v.instead != "":
		return v.instead
	case v.node.Kind == yaml.MappingNode:
		return "an object"
	case v.node.Kind == yaml.SequenceNode:
		return "a list"
	case v.node.Kind == yaml.AliasNode:
		return "*" + shorten(v.node.Value)
	case v.node.ShortTag() == "!!null":
		return "null"
	case v.node.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0, !printable.MatchString(v.node.Value):
		return strconv.Quote(shorten(v.node.Value))
	}
	return shorten(v.node.Value)
}

var (
	printable = regexp.MustCompile(`^[ -~]+$`)
	plainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// shorten keeps a hostile document from filling the log.
func shorten(s string) string {
	const most = 80
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "..."
}

func join(path, name string) string {
	switch {
	case !plainName.MatchString(name):
		return path + "[" + strconv.Quote(shorten(name)) + "]"
	case path == "":
		return name
	}
	return path + "." + name
}

// Object visits the fields of an object in the order written, and reports those
// that are unknown or given twice. It returns false when v is no object.
func (v Value) Object(fields Fields) bool {
	known := slices.Sorted(maps.Keys(fields))
	return v.Entries(func(name string, key, value Value) {
		field, ok := fields[name]
		if !ok {
			key.FailAs("an unknown field", wantField(name, known), "unknown-field")
			return
		}
		if v.visitor.Visit != nil {
			v.visitor.Visit(value)
		}
		field(value)
	})
}

func wantField(name string, known []string) string {
	if near, ok := Nearest(name, known); ok {
		return fmt.Sprintf("%s, if that was meant", near)
	}
	return "one of " + strings.Join(known, ", ")
}

// Entries calls each for the entries of an object whose keys are free. key has
// the path of its value and the position of the key.
func (v Value) Entries(each func(name string, key, value Value)) bool {
	if !v.is(yaml.MappingNode, "an object") {
		return false
	}
	first := map[string]int{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		node := v.node.Content[i]
		name := node.Value
		key := v.child(name, node)
		if node.ShortTag() == "!!merge" {
			key.Fail("written out: merge keys are not read", "yaml-alias")
			continue
		}
		if _, ok := key.String("a name"); !ok {
			continue
		}
		if line, twice := first[name]; twice {
			key.FailAs("given again", fmt.Sprintf("given once; the first is on line %d", line), "duplicate-field")
			continue
		}
		first[name] = node.Line
		each(name, key, v.child(name, v.node.Content[i+1]))
	}
	return true
}

// Each calls each for the items of a list and returns how many there are, or -1
// when v is no list.
func (v Value) Each(each func(Value)) int {
	if !v.is(yaml.SequenceNode, "a list") {
		return -1
	}
	for i, item := range v.node.Content {
		each(Value{node: item, path: fmt.Sprintf("%s[%d]", v.path, i), visitor: v.visitor})
	}
	return len(v.node.Content)
}

// is checks what can be wrong with a node of any kind, and then the kind.
func (v Value) is(kind yaml.Kind, want string) bool {
	switch {
	case v.node.Kind == yaml.AliasNode:
		v.Fail("written out: aliases are not read", "yaml-alias")
	case v.node.Anchor != "":
		v.FailAs("&"+shorten(v.node.Anchor), "without an anchor: aliases are not read", "yaml-alias")
	case v.node.Style&yaml.TaggedStyle != 0:
		v.FailAs(shorten(v.node.Tag), "without a tag", "yaml-tag")
	case v.node.Kind != kind:
		v.Fail(want, "wrong-type")
	default:
		return true
	}
	return false
}

// scalar returns the text of a scalar that has one of the tags.
func (v Value) scalar(want, rule string, tags ...string) (string, bool) {
	if v.node.Kind == yaml.MappingNode || v.node.Kind == yaml.SequenceNode {
		v.Fail(want, rule)
		return "", false
	}
	if !v.is(yaml.ScalarNode, want) {
		return "", false
	}
	if !slices.Contains(tags, v.node.ShortTag()) {
		v.Fail(want, rule)
		return "", false
	}
	return v.node.Value, true
}

// String returns the text of a string; want says what it is for. Numbers, booleans
// and dates that are not quoted are no strings.
func (v Value) String(want string) (string, bool) {
	if v.node.Kind == yaml.ScalarNode && v.node.ShortTag() != "!!str" && v.node.ShortTag() != "!!null" {
		want = "in quotes, as " + want
	}
	return v.scalar(want, "wrong-type", "!!str")
}
