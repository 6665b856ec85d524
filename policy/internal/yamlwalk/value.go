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

// Value is one value of a document, with its place, or the place where it is missing.
type Value struct {
	node    *node
	name    string
	path    string
	instead string // shown in place of a value that was not written
	visitor *Visitor
}

// Field reads one value and reports what is wrong with it.
type Field func(Value)

// Fields are the fields that an object may have, by name.
type Fields map[string]Field

// With returns the same value for a walk with another visitor.
func (v Value) With(visitor Visitor) Value {
	v.visitor = &visitor
	return v
}

// Alone returns the same value, apart from the document around it. A caller that keeps the result does not keep the
// document in memory.
func (v Value) Alone() Value {
	alone := *v.node
	v.node = &alone
	return v
}

// Path returns the place in the document, such as "spec.endpoints[0].port".
func (v Value) Path() string { return v.path }

// Line returns the line of the value, from 1.
func (v Value) Line() int { return int(v.node.line) }

// Name returns the last name of the path; "" for an item of a list.
func (v Value) Name() string { return v.name }

// IsObject reports whether v is an object. It adds no problem.
func (v Value) IsObject() bool { return v.node.kind == yaml.MappingNode }

// Has reports whether v is an object with a field of that name. It adds no problem.
func (v Value) Has(name string) bool {
	_, ok := v.Get(name)
	return ok
}

// Get returns a field of v; ok is false if v is not an object or does not have the field.
func (v Value) Get(name string) (field Value, ok bool) {
	if !v.IsObject() {
		return Value{}, false
	}
	for i := 0; i+1 < len(v.node.content); i += 2 {
		if v.node.content[i].value == name {
			return v.child(name, &v.node.content[i+1]), true
		}
	}
	return Value{}, false
}

func (v Value) child(name string, node *node) Value {
	return Value{node: node, name: name, path: join(v.path, name), visitor: v.visitor}
}

// Missing returns a field that the object v does not have. Its place is the place of v. Problems show instead
// as its value.
func (v Value) Missing(name, instead string) Value {
	missing := v.child(name, v.node)
	missing.instead = instead
	return missing
}

// Fail adds a problem: the value should be want.
func (v Value) Fail(want, rule string) { v.FailAs(v.Got(), want, rule) }

// FailAs is [Value.Fail] with got in place of the text of the value.
func (v Value) FailAs(got, want, rule string) { v.visitor.Report(v.Problem(got, want, rule)) }

// Problem returns a problem at the place of the value, without reporting it.
func (v Value) Problem(got, want, rule string) Problem {
	return Problem{Line: int(v.node.line), Col: int(v.node.column), Path: v.path, Got: got, Want: want, Rule: rule}
}

// Plain returns the text of a scalar, and "" for any other value. It adds no problem.
func (v Value) Plain() string {
	if v.node.kind != yaml.ScalarNode {
		return ""
	}
	return v.node.value
}

// Got returns what is written, in one short line.
func (v Value) Got() string {
	switch {
	case v.instead != "":
		return v.instead
	case v.node.kind == yaml.MappingNode:
		return "an object"
	case v.node.kind == yaml.SequenceNode:
		return "a list"
	case v.node.kind == yaml.AliasNode:
		return "*" + shorten(v.node.value)
	case v.node.tag == "!!null":
		return "null"
	case v.node.style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0, !printable.MatchString(v.node.value):
		return strconv.Quote(shorten(v.node.value))
	}
	return shorten(v.node.value)
}

var (
	printable = regexp.MustCompile(`^[ -~]+$`)
	plainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
)

// shorten cuts a long text, so that a hostile document cannot fill the log.
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

// Object reads the fields of an object in the order written, and reports fields that are unknown or given
// twice. It returns false, and reports v, if v is not an object.
func (v Value) Object(fields Fields) bool {
	return v.Entries(func(name string, key, value Value) {
		field, ok := fields[name]
		if !ok {
			key.FailAs("an unknown field", wantField(name, slices.Sorted(maps.Keys(fields))), "unknown-field")
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

// Entries calls each for every entry of an object with any keys. The argument key has the path of its value
// and the position of the key. Entries returns false, and reports v, if v is not an object.
func (v Value) Entries(each func(name string, key, value Value)) bool {
	if !v.is(yaml.MappingNode, "an object") {
		return false
	}
	first := map[string]int{}
	for i := 0; i+1 < len(v.node.content); i += 2 {
		node := &v.node.content[i]
		name := node.value
		key := v.child(name, node)
		if node.tag == "!!merge" {
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
		first[name] = int(node.line)
		each(name, key, v.child(name, &v.node.content[i+1]))
	}
	return true
}

// Each calls each for every item of a list and returns the number of items. It returns -1, and reports v, if v
// is not a list.
func (v Value) Each(each func(Value)) int {
	if !v.is(yaml.SequenceNode, "a list") {
		return -1
	}
	for i := range v.node.content {
		each(Value{node: &v.node.content[i], path: fmt.Sprintf("%s[%d]", v.path, i), visitor: v.visitor})
	}
	return len(v.node.content)
}

// is returns whether v has a kind. It reports v if not, and for problems that a value of any kind can have.
func (v Value) is(kind yaml.Kind, want string) bool {
	switch {
	case v.node.kind == yaml.AliasNode:
		v.Fail("written out: aliases are not read", "yaml-alias")
	case v.node.marks != nil && v.node.marks.anchor != "":
		v.FailAs("&"+shorten(v.node.marks.anchor), "without an anchor: aliases are not read", "yaml-alias")
	case v.node.marks != nil:
		v.FailAs(shorten(v.node.marks.tag), "without a tag", "yaml-tag")
	case v.node.kind != kind:
		v.Fail(want, "wrong-type")
	default:
		return true
	}
	return false
}

// scalar returns the text of a scalar with one of the tags, or reports v.
func (v Value) scalar(want, rule string, tags ...string) (string, bool) {
	if v.node.kind == yaml.MappingNode || v.node.kind == yaml.SequenceNode {
		v.Fail(want, rule)
		return "", false
	}
	if !v.is(yaml.ScalarNode, want) {
		return "", false
	}
	if !slices.Contains(tags, v.node.tag) {
		v.Fail(want, rule)
		return "", false
	}
	return v.node.value, true
}

// String returns the text of a string, or reports v with want. A number, boolean or date without quotes is
// not a string.
func (v Value) String(want string) (string, bool) {
	if v.node.kind == yaml.ScalarNode && v.node.tag != "!!str" && v.node.tag != "!!null" {
		want = "in quotes, as " + want
	}
	return v.scalar(want, "wrong-type", "!!str")
}
