package convert

import (
	"reflect"
	"time"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
)

// decades bound the instants that tests draw, on both sides of now.
const decades = int64(40 * 365 * 24 * time.Hour)

// unknown are the instants that are 0 where they are not known.
var unknown = map[string]bool{
	"Saved.Until": true, "Transition.Until": true, "Handover.RampUntil": true, "Probed.Resume": true, "State.LastFailure": true,
	"Run.Since": true, "Run.Broken": true, "Tally.At": true,
}

// future are the instants that may be after now.
var future = map[string]bool{
	"Saved.Until": true, "Transition.Until": true, "Handover.RampUntil": true, "Probed.Resume": true, "Override.Until": true, "Probe.Deadline": true,
}

// drawing fills values with all that their types allow. It takes fields by their types, so that new ones are drawn too.
type drawing struct {
	*rapid.T
	now breaker.Instant
}

// draw returns a value of a type. Its instants are around now.
func draw[V any](t *rapid.T, now breaker.Instant) (v V) {
	drawing{t, now}.fill(reflect.ValueOf(&v).Elem(), reflect.TypeFor[V]().Name(), 1)
	return v
}

// fill draws one value. deep is how many transitions may be in one another.
func (d drawing) fill(v reflect.Value, name string, deep int) {
	number := func(low, high int64) int64 { return rapid.Int64Range(low, high).Draw(d.T, name) }
	switch v.Interface().(type) {
	case breaker.Instant:
		v.SetInt(int64(d.instant(name)))
		return
	case time.Duration:
		v.SetInt(number(0, decades))
		return
	case breaker.State:
		v.SetUint(uint64(number(int64(breaker.Closed), int64(breaker.Open))))
		return
	case breaker.Outcome:
		v.SetUint(uint64(number(int64(breaker.Success), int64(breaker.Abandoned))))
		return
	case breaker.Mode:
		v.SetUint(uint64(number(int64(breaker.Enforce), int64(breaker.Disabled))))
		return
	case breaker.Reason:
		v.SetUint(uint64(number(int64(breaker.ConsecutiveFailures), int64(breaker.Restored))))
		return
	case breaker.Ratio:
		v.SetUint(uint64(number(0, int64(breaker.Whole))))
		return
	case *breaker.Transition:
		deep--
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(d.T, name))
	case reflect.Uint32:
		v.SetUint(uint64(rapid.Uint32().Draw(d.T, name)))
	case reflect.Uint64:
		v.SetUint(rapid.Uint64().Draw(d.T, name))
	case reflect.String:
		v.SetString(rapid.String().Draw(d.T, name))
	case reflect.Pointer:
		if deep >= 0 && rapid.Bool().Draw(d.T, name) {
			v.Set(reflect.New(v.Type().Elem()))
			d.fill(v.Elem(), v.Type().Elem().Name(), deep)
		}
	case reflect.Slice:
		for range rapid.IntRange(0, 3).Draw(d.T, name) {
			v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
			d.fill(v.Index(v.Len()-1), v.Type().Elem().Name(), deep)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			d.fill(v.Field(i), v.Type().Name()+"."+v.Type().Field(i).Name, deep)
		}
	default:
		d.Fatalf("%s has a type that this test does not know", name)
	}
}

// instant draws an instant, which is 0 only where that means that it is not known.
func (d drawing) instant(name string) breaker.Instant {
	if unknown[name] && rapid.Bool().Draw(d.T, name+" is not known") {
		return 0
	}
	low, high := -decades, int64(0)
	switch {
	case name == "Probed.Resume": // it has no meaning any longer when it is over
		low, high = 1, decades
	case future[name]:
		high = decades
	}
	return known(d.now + breaker.Instant(rapid.Int64Range(low, high).Draw(d.T, name)))
}

// walk calls do with each instant in a value that is known.
func walk(v reflect.Value, do func(at reflect.Value, name string), name string) {
	switch {
	case v.Type() == reflect.TypeFor[breaker.Instant]():
		if v.Int() != 0 || !unknown[name] {
			do(v, name)
		}
	case v.Kind() == reflect.Pointer && !v.IsNil():
		walk(v.Elem(), do, name)
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			walk(v.Index(i), do, name)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			walk(v.Field(i), do, v.Type().Name()+"."+v.Type().Field(i).Name)
		}
	}
}

// shift moves the instants of a value to another clock. An instant that is 0 there is the one before.
func shift(v any, by breaker.Instant) {
	walk(reflect.ValueOf(v), func(at reflect.Value, _ string) { at.SetInt(int64(known(breaker.Instant(at.Int()) + by))) }, "")
}
