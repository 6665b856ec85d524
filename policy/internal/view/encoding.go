package view

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
)

// Encoding turns the values of one type into bytes: the same bytes for equal values, and different bytes for values
// that differ. It goes by reflection, so that a field which is added to a struct counts at once. An empty
// slice is equal to a nil one. Maps, interfaces and floats have no encoding.
type Encoding struct {
	fields map[reflect.Type][]int // the fields of each struct that count
}

// NewEncoding returns the encoding of a type, and panics if it has none. Fields of the types in without are left out, wherever they are.
func NewEncoding(t reflect.Type, without ...reflect.Type) *Encoding {
	e := &Encoding{fields: map[reflect.Type][]int{}}
	e.learn(t, without)
	return e
}

var address = reflect.TypeFor[netip.Addr]()

// learn finds the structs in a type.
func (e *Encoding) learn(t reflect.Type, without []reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		e.learn(t.Elem(), without)
	case reflect.Struct:
		if _, known := e.fields[t]; known || t == address {
			return
		}
		fields := []int{}
		for i := range t.NumField() {
			if f := t.Field(i).Type; !slices.Contains(without, f) {
				fields = append(fields, i)
			}
		}
		e.fields[t] = fields
		for _, i := range fields {
			e.learn(t.Field(i).Type, without)
		}
	case reflect.Map, reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		panic(fmt.Sprintf("there is no encoding of a %s", t))
	}
}

// Append appends the encoding of v to b.
func (e *Encoding) Append(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return binary.AppendVarint(b, v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return binary.AppendUvarint(b, v.Uint())
	case reflect.String:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		return append(b, v.String()...)
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, 0)
		}
		return e.Append(append(b, 1), v.Elem())
	case reflect.Slice, reflect.Array:
		return e.list(b, v)
	case reflect.Struct:
		return e.object(b, v)
	default:
		panic(fmt.Sprintf("there is no encoding of a %s", v.Type()))
	}
}

func (e *Encoding) list(b []byte, v reflect.Value) []byte {
	b = binary.AppendUvarint(b, uint64(v.Len()))
	if v.Type().Elem().Kind() == reflect.Uint8 && (v.Kind() == reflect.Slice || v.CanAddr()) {
		return append(b, v.Bytes()...)
	}
	for i := range v.Len() {
		b = e.Append(b, v.Index(i))
	}
	return b
}

func (e *Encoding) object(b []byte, v reflect.Value) []byte {
	if v.Type() == address {
		text := v.Interface().(netip.Addr).String()
		b = binary.AppendUvarint(b, uint64(len(text)))
		return append(b, text...)
	}
	for _, i := range e.fields[v.Type()] {
		b = e.Append(b, v.Field(i))
	}
	return b
}
