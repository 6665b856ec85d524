package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Object has its fields in order, which a map does not keep.
type Object []Field

// Field is one field of an [Object].
type Field struct {
	Name  string
	Value any
}

// MarshalJSON writes an object.
func (o Object) MarshalJSON() ([]byte, error) {
	var buf bytes.Buffer
	buf.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			buf.WriteByte(',')
		}
		value, err := json.Marshal(f.Value)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		fmt.Fprintf(&buf, "%q:%s", f.Name, value)
	}
	buf.WriteByte('}')
	return buf.Bytes(), nil
}

// Notation are the types that are not shown field by field.
type Notation struct {
	// Value shows a value; shown is false for one that has no notation of its own.
	Value func(v any) (view any, shown bool)
	// Field shows a field of a struct; keep is false for one to leave out. It gets what
	// the field would be shown as.
	Field func(owner reflect.Type, f reflect.StructField, view any) (shown any, keep bool)
}

// Of goes by reflection, so that a field that is added is shown without anybody having
// to think of it. A field has its Go name in lower camel case, unless it has a json tag.
func (n Notation) Of(v any) any { return n.of(reflect.ValueOf(v)) }

func (n Notation) of(v reflect.Value) any {
	if view, shown := n.Value(v.Interface()); shown {
		return view
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return n.of(v.Elem())
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = n.of(v.Index(i))
		}
		return list
	case reflect.Struct:
		return n.object(v)
	case reflect.String:
		return v.String()
	default:
		return v.Interface()
	}
}

func (n Notation) object(v reflect.Value) Object {
	var o Object
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		value, keep := n.Field(v.Type(), field, n.of(v.Field(i)))
		if !keep {
			continue
		}
		name := field.Tag.Get("json")
		if name == "" {
			name = lowerCamel(field.Name)
		}
		o = append(o, Field{name, value})
	}
	return o
}

// lowerCamel turns CAFile into caFile and DNS into dns.
func lowerCamel(name string) string {
	upper := 0
	for upper < len(name) && unicode.IsUpper(rune(name[upper])) {
		upper++
	}
	if upper > 1 && upper < len(name) {
		upper--
	}
	return strings.ToLower(name[:upper]) + name[upper:]
}

// Canonical is a text that is equal for equal views and different for different ones.
func Canonical(v any) string {
	var b strings.Builder
	canonical(&b, v)
	return b.String()
}

func canonical(b *strings.Builder, v any) {
	switch x := v.(type) {
	case Object:
		b.WriteByte('{')
		for _, f := range x {
			fmt.Fprintf(b, "%q:", f.Name)
			canonical(b, f.Value)
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for _, item := range x {
			canonical(b, item)
			b.WriteByte(',')
		}
		b.WriteByte(']')
	case string:
		b.WriteString(strconv.Quote(x))
	default:
		fmt.Fprintf(b, "%v;", x)
	}
}

// YAML turns what [Notation.Of] returned into YAML of the same order.
func YAML(view any) *yaml.Node {
	node := &yaml.Node{}
	switch x := view.(type) {
	case Object:
		node.Kind = yaml.MappingNode
		for _, f := range x {
			node.Content = append(node.Content, YAML(f.Name), YAML(f.Value))
		}
	case []any:
		node.Kind = yaml.SequenceNode
		for _, item := range x {
			node.Content = append(node.Content, YAML(item))
		}
	case string:
		node.SetString(x)
	case nil:
		node.Kind, node.Tag, node.Value = yaml.ScalarNode, "!!null", "null"
	default:
		node.Kind, node.Value = yaml.ScalarNode, fmt.Sprint(x)
	}
	return node
}
