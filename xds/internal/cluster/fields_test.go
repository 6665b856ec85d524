package cluster

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// unset returns the fields of m that have no value.
func unset(m proto.Message) []protoreflect.Name {
	var names []protoreflect.Name
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); !m.ProtoReflect().Has(f) {
			names = append(names, f.Name())
		}
	}
	return names
}

// full returns a T whose fields all have values that are not zero, so that it cannot lack a new field.
func full[T any]() T {
	var t T
	fill(reflect.ValueOf(&t).Elem())
	return t
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int64:
		v.SetInt(int64(7 * time.Second))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	case reflect.String:
		v.SetString("full")
	default:
		panic(v.Type().String() + " has no full value")
	}
}

// everyFieldCounts clears the fields of a full T one at a time. Each must make a difference in the translation, except the
// fields that are ours and not Envoy's.
func everyFieldCounts[T any](t *testing.T, translate func(T) proto.Message, ours ...string) {
	t.Helper()
	all := full[T]()
	whole := translate(all)
	for i := range reflect.TypeFor[T]().NumField() {
		cut := all
		field := reflect.ValueOf(&cut).Elem().Field(i)
		name := reflect.TypeFor[T]().Field(i).Name
		if slices.Contains(ours, name) {
			continue
		}
		field.SetZero()
		if proto.Equal(whole, translate(cut)) {
			t.Errorf("%s makes no difference", name)
		}
	}
}
