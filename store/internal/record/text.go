package record

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"breakwater.dev/breaker"
)

// The types of values in a record. Enumerations are written by name, and other values in the notation of policies.
type (
	state    breaker.State
	reason   breaker.Reason
	mode     breaker.Mode
	ratio    breaker.Ratio
	duration time.Duration
	// multiplier is written as a number.
	multiplier breaker.Hundredths
)

// enum is a type whose values are numbered from 0 and have names.
type enum interface {
	~uint8
	fmt.Stringer
}

// nameOf returns the name of a value. It returns an error for a value without a name, for which String panics.
func nameOf[T enum](v, last T) ([]byte, error) {
	if v > last {
		return nil, fmt.Errorf("%T %d has no name", v, uint8(v))
	}
	return []byte(v.String()), nil
}

// parseName returns the value with a name.
func parseName[T enum](text []byte, last T) (T, error) {
	for v := T(0); v <= last; v++ {
		if v.String() == string(text) {
			return v, nil
		}
	}
	return 0, fmt.Errorf("no %T has the name %q", last, text)
}

func (s state) MarshalText() ([]byte, error)  { return nameOf(breaker.State(s), breaker.Open) }
func (r reason) MarshalText() ([]byte, error) { return nameOf(breaker.Reason(r), breaker.Restored) }
func (m mode) MarshalText() ([]byte, error)   { return nameOf(breaker.Mode(m), breaker.Disabled) }

func (s *state) UnmarshalText(text []byte) error {
	v, err := parseName(text, breaker.Open)
	*s = state(v)
	return err
}

func (r *reason) UnmarshalText(text []byte) error {
	v, err := parseName(text, breaker.Restored)
	*r = reason(v)
	return err
}

func (m *mode) UnmarshalText(text []byte) error {
	v, err := parseName(text, breaker.Disabled)
	*m = mode(v)
	return err
}

func (r ratio) MarshalText() ([]byte, error) { return []byte(breaker.Ratio(r).String()), nil }

func (r *ratio) UnmarshalText(text []byte) error {
	percent, err := strconv.ParseFloat(strings.TrimSuffix(string(text), "%"), 64)
	if err != nil {
		return fmt.Errorf("%q is no share such as 50%%", text)
	}
	*r = ratio(hundredths(percent))
	return nil
}

// hundredths converts a number into hundredths. The result is exact for every number of hundredths that fits. Any other
// number changes, and Decode notices the change.
func hundredths(v float64) uint32 {
	return uint32(math.Round(min(max(v, 0), math.MaxUint32/100.0) * 100))
}

func (m multiplier) MarshalJSON() ([]byte, error) { return json.Marshal(breaker.Hundredths(m).Float()) }

func (m *multiplier) UnmarshalJSON(number []byte) error {
	var v float64
	err := json.Unmarshal(number, &v)
	*m = multiplier(hundredths(v))
	return err
}

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = duration(v)
	return err
}
