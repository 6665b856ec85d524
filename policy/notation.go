package policy

import (
	"encoding"
	"fmt"
	"strings"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/outlier"
	"breakwater.dev/policy/internal/view"
	"breakwater.dev/policy/internal/yamlwalk"
)

// How each type of value is written in a policy: reader reads it, notate prints it.

// reader returns the field that reads a value into dst, by the type that dst points to. It
// takes any duration, and any count that is not absurd: the engine that owns the value
// says which are allowed.
func reader(dst any) yamlwalk.Field {
	switch dst := dst.(type) {
	case *uint32:
		return yamlwalk.Integer(dst, 0, breaker.MaxCount)
	case *bool:
		return yamlwalk.Bool(dst)
	case *time.Duration:
		return yamlwalk.Duration(dst, -anyDuration, anyDuration)
	case *breaker.Ratio:
		return yamlwalk.Percent(dst)
	case *breaker.Hundredths:
		return yamlwalk.Hundredths(dst, breaker.MinMultiplier, breaker.MaxMultiplier)
	case *breaker.Mode:
		return yamlwalk.Choice(dst, breaker.Enforce, breaker.MetricsOnly, breaker.ForcedOpen, breaker.Disabled)
	case *outlier.Percent:
		return yamlwalk.WholePercent(dst)
	case *outlier.Scope:
		return yamlwalk.OneOf(dst, outlier.Node, outlier.Mesh)
	}
	panic(fmt.Sprintf("policies have no notation for a %T", dst))
}

// readers are the fields of an object as an engine's table lists them: a path with a dot
// is a field of an object inside. objects are the fields of the objects inside, by name.
type readers struct {
	fields  yamlwalk.Fields
	objects map[string]yamlwalk.Fields
}

func newReaders() readers { return readers{yamlwalk.Fields{}, map[string]yamlwalk.Fields{}} }

// add has the value at a path read into dst.
func (r readers) add(path string, dst any) {
	object, name, nested := strings.Cut(path, ".")
	if !nested {
		r.fields[path] = reader(dst)
		return
	}
	inside := r.objects[object]
	if inside == nil {
		inside = yamlwalk.Fields{}
		r.objects[object] = inside
		r.fields[object] = func(v yamlwalk.Value) { v.Object(inside) }
	}
	inside[name] = reader(dst)
}

// notation shows values as policies write them.
var notation = view.Notation{Value: notate}

func notate(v any) (any, bool) {
	switch x := v.(type) {
	case time.Duration:
		return yamlwalk.FormatDuration(x), true
	case breaker.Hundredths:
		return x.Float(), true
	case breaker.Key, breaker.Ratio, breaker.Mode, breaker.ClientGone, outlier.Percent:
		return fmt.Sprint(x), true
	case *Classifier:
		return x.view(), true
	case Origin:
		return fmt.Sprintf("%s %s:%d", x.Name, x.File, x.Line), true
	case encoding.TextMarshaler: // an address
		return fmt.Sprint(x), true
	}
	return nil, false
}
