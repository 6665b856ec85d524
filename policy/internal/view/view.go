package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// Object is an object whose fields keep their order, which a map would not do.
type Object []Field

// Field is one field of an [Object].
type Field struct {
	Name  string
	Value any
}

// MarshalJSON writes the object with its fields in order.
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

// Notation says how values are shown, where they are not shown field by field.
type Notation struct {
	// Value shows a value whose type has a notation of its own. shown is false for a
	// value of another type.
	Value func(v any) (view any, shown bool)
}

// Show shows v. It goes by reflection, so that a field which is added to a struct is shown
// at once. A field has its Go name in lower camel case, unless it has a json tag.
func (n Notation) Show(v any) any { return n.of(reflect.ValueOf(v)) }

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
		name := field.Tag.Get("json")
		if name == "" {
			name = lowerCamel(field.Name)
		}
		o = append(o, Field{name, n.of(v.Field(i))})
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

// YAML returns the YAML of a view that [Notation.Show] returned, in the same order.
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
