package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"breakwater.dev/breaker"
	"breakwater.dev/outlier"
	"breakwater.dev/policy/internal/yamlwalk"
)

// View returns the set as people read it, for [json.Marshal]: every field in a fixed
// order, durations as "30s", shares as "50%", and each document that something comes
// from as "name file:line".
func (s *Set) View() any { return viewer{origins: true}.view(reflect.ValueOf(s)) }

// Print returns the view of a set as YAML.
func Print(s *Set) ([]byte, error) {
	var buf bytes.Buffer
	encoder := yaml.NewEncoder(&buf)
	encoder.SetIndent(2)
	if err := encoder.Encode(yamlNode(s.View())); err != nil {
		return nil, fmt.Errorf("printing a set: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return nil, fmt.Errorf("printing a set: %w", err)
	}
	return buf.Bytes(), nil
}

// revision is a hash of what upstreams mean, without where they were written. A view
// holds no pointers, so Go's own notation of it is the same in every process.
func revision(upstreams []*Upstream) string {
	hash := sha256.New()
	fmt.Fprintf(hash, "%#v", viewer{}.view(reflect.ValueOf(upstreams)))
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// members are the fields of an object in order, which a map does not keep.
type members []member

type member struct {
	name  string
	value any
}

// MarshalJSON writes an object.
func (ms members) MarshalJSON() ([]byte, error) {
	var buf bytes.Buffer
	buf.WriteByte('{')
	for i, m := range ms {
		if i > 0 {
			buf.WriteByte(',')
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", m.name, err)
		}
		fmt.Fprintf(&buf, "%q:%s", m.name, value)
	}
	buf.WriteByte('}')
	return buf.Bytes(), nil
}

// viewer turns the types of this package into members, lists, strings, numbers and
// booleans. It goes by reflection, so that a new field is shown and hashed without
// anybody having to think of it.
type viewer struct {
	origins bool // show where things were written
}

func (w viewer) view(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case time.Duration:
		return yamlwalk.FormatDuration(x)
	case breaker.Key:
		return x.String()
	case *Classifier:
		return x.view()
	case Origin:
		return fmt.Sprintf("%s %s:%d", x.Name, x.File, x.Line)
	case breaker.Ratio:
		return x.String()
	case encoding.TextMarshaler: // an address
		return fmt.Sprint(x)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return w.view(v.Elem())
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = w.view(v.Index(i))
		}
		return list
	case reflect.Struct:
		return w.members(v)
	case reflect.String:
		return v.String()
	default:
		return v.Interface()
	}
}

func (w viewer) members(v reflect.Value) members {
	var ms members
	for i := range v.NumField() {
		field := v.Type().Field(i)
		isOrigin := field.Type == reflect.TypeFor[Origin]() || field.Type == reflect.TypeFor[[]Origin]()
		if isOrigin && !w.origins {
			continue
		}
		name, value := lowerCamel(field.Name), w.view(v.Field(i))
		if word := field.Tag.Get("json"); word != "" {
			name = word // the policy's word, where Go's name is another
		}
		if v.Type() == reflect.TypeFor[outlier.Config]() && isPercent(field.Name) {
			value = fmt.Sprintf("%d%%", value)
		}
		ms = append(ms, member{name, value})
	}
	return ms
}

// isPercent tells the percentages of outlier detection, which are plain numbers
// there, from its counts.
func isPercent(field string) bool {
	return strings.HasPrefix(field, "Enforcing") || strings.HasSuffix(field, "EjectionPercent") || field == "FailurePercentageThreshold"
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

// view lists what is not a success, runs of status codes as "500-599".
func (c *Classifier) view() members {
	list := func(o breaker.Outcome) members {
		status, grpc := []any{}, []any{}
		for low := 0; low < len(c.http); low++ {
			if c.http[low] != o {
				continue
			}
			high := low
			for high+1 < len(c.http) && c.http[high+1] == o {
				high++
			}
			text := fmt.Sprint(low)
			if high > low {
				text = fmt.Sprintf("%d-%d", low, high)
			}
			status, low = append(status, text), high
		}
		for code, name := range grpcCodes {
			if c.grpc[code] == o {
				grpc = append(grpc, name)
			}
		}
		return members{{"statusCodes", status}, {"grpcStatus", grpc}}
	}
	return members{{"failure", list(breaker.Failure)}, {"ignore", list(breaker.Ignored)}}
}

// yamlNode turns a view into YAML of the same order.
func yamlNode(view any) *yaml.Node {
	node := &yaml.Node{}
	switch x := view.(type) {
	case members:
		node.Kind = yaml.MappingNode
		for _, m := range x {
			node.Content = append(node.Content, yamlNode(m.name), yamlNode(m.value))
		}
	case []any:
		node.Kind = yaml.SequenceNode
		for _, item := range x {
			node.Content = append(node.Content, yamlNode(item))
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
