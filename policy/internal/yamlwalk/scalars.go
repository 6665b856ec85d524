package yamlwalk

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The functions here make a [Field] that reads one scalar into *dst. A wrong value is
// reported, and *dst stays as it was.

// Text reads a string that ok accepts. Another string is reported with want and rule.
func Text(dst *string, want, rule string, ok func(string) bool) Field {
	return func(v Value) {
		if s, isString := v.String(want); isString {
			v.accept(dst, s, want, rule, ok)
		}
	}
}

// Word is like [Text], and also takes a whole number, as it is written.
func Word(dst *string, want, rule string, ok func(string) bool) Field {
	return func(v Value) {
		if s, isWord := v.scalar(want, "wrong-type", "!!str", "!!int"); isWord {
			v.accept(dst, s, want, rule, ok)
		}
	}
}

func (v Value) accept(dst *string, s, want, rule string, ok func(string) bool) {
	if !ok(s) {
		v.Fail(want, rule)
		return
	}
	*dst = s
}

// OneOf reads one of the words.
func OneOf[T ~string](dst *T, words ...T) Field {
	return func(v Value) {
		texts := make([]string, len(words))
		for i, w := range words {
			texts[i] = string(w)
		}
		want := "one of " + strings.Join(texts, ", ")
		if len(texts) == 1 {
			want = texts[0]
		}
		s, ok := v.scalar(want, "not-one-of", "!!str")
		if !ok {
			return
		}
		if !slices.Contains(texts, s) {
			v.Fail(Suggest(want, s, texts), "not-one-of")
			return
		}
		*dst = T(s)
	}
}

// Choice reads one of the choices, in the form that its String returns.
func Choice[T fmt.Stringer](dst *T, choices ...T) Field {
	return func(v Value) {
		words := make([]string, len(choices))
		for i, c := range choices {
			words[i] = c.String()
		}
		var word string
		OneOf(&word, words...)(v)
		if i := slices.Index(words, word); i >= 0 {
			*dst = choices[i]
		}
	}
}

// Bool reads true or false.
func Bool(dst *bool) Field {
	return func(v Value) {
		s, ok := v.scalar("true or false", "wrong-type", "!!bool")
		if ok {
			*dst = strings.EqualFold(s, "true")
		}
	}
}

var decimalInteger = regexp.MustCompile(`^(0|-?[1-9][0-9]*)$`)

// Integer reads a whole decimal number from low to high.
func Integer[T ~uint16 | ~uint32 | ~uint64](dst *T, low, high T) Field {
	return func(v Value) {
		want := fmt.Sprintf("a number from %d to %d", low, high)
		s, ok := v.scalar(want, "wrong-type", "!!int")
		if !ok {
			return
		}
		if !decimalInteger.MatchString(s) {
			v.Fail(want+", in plain decimal", "wrong-type")
			return
		}
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil || n < uint64(low) || n > uint64(high) {
			v.Fail(want, "out-of-range")
			return
		}
		*dst = T(n)
	}
}

var hundredths = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,8})(?:\.([0-9]{1,2}))?$`)

// Hundredths reads a number of up to two decimals into hundredths. low and high are
// hundredths as well. More decimals are refused, not rounded.
func Hundredths[T ~uint32](dst *T, low, high T) Field {
	return func(v Value) {
		want := fmt.Sprintf("a number from %g to %g", float64(low)/100, float64(high)/100)
		s, ok := v.scalar(want, "wrong-type", "!!int", "!!float")
		if !ok {
			return
		}
		m := hundredths.FindStringSubmatch(s)
		if m == nil {
			v.Fail(want+", in plain decimal with at most two decimals", "bad-number")
			return
		}
		n, err := strconv.ParseUint(m[1]+(m[2] + "00")[:2], 10, 64)
		if err != nil || s[0] == '-' || n < uint64(low) || n > uint64(high) {
			v.Fail(want, "out-of-range")
			return
		}
		*dst = T(n)
	}
}

var duration = regexp.MustCompile(`^-?([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`)

// Duration reads a duration from low to high with its unit, such as 30s, 1m30s or 250ms.
func Duration(dst *time.Duration, low, high time.Duration) Field {
	return func(v Value) {
		const want = "a duration with its unit, such as 30s or 250ms"
		s, ok := v.scalar(want, "bad-duration", "!!str")
		if !ok {
			return
		}
		d, err := time.ParseDuration(s)
		if err != nil || !duration.MatchString(s) {
			v.Fail(want, "bad-duration")
			return
		}
		if d < low || d > high {
			v.Fail(fmt.Sprintf("a duration from %s to %s", FormatDuration(low), FormatDuration(high)), "out-of-range")
			return
		}
		*dst = d
	}
}

// FormatDuration prints a duration as policies write it: 1m30s, 5m, 24h.
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

var percent = regexp.MustCompile(`^(0|[1-9][0-9]{0,5})(?:\.([0-9]{1,2}))?%$`)

// Percent reads a percentage of up to two decimals into basis points.
func Percent[T ~uint32](dst *T) Field {
	return func(v Value) {
		const want = "a percentage such as 50% or 0.25%"
		n, ok := v.percent(want, func([]string) bool { return true })
		if ok {
			*dst = T(n)
		}
	}
}

// WholePercent reads a percentage without decimals into percent.
func WholePercent[T ~uint32](dst *T) Field {
	return func(v Value) {
		const want = "a whole percentage such as 50%"
		n, ok := v.percent(want, func(m []string) bool { return m[2] == "" })
		if ok {
			*dst = T(n / 100)
		}
	}
}

func (v Value) percent(want string, form func(m []string) bool) (basisPoints uint32, ok bool) {
	s, ok := v.scalar(want, "bad-ratio", "!!str")
	if !ok {
		return 0, false
	}
	m := percent.FindStringSubmatch(s)
	if m == nil || !form(m) {
		v.Fail(want, "bad-ratio")
		return 0, false
	}
	n, err := strconv.ParseUint(m[1]+(m[2] + "00")[:2], 10, 32)
	if err != nil || n > 10_000 {
		v.Fail("a share from 0% to 100%", "out-of-range")
		return 0, false
	}
	return uint32(n), true
}

var (
	size  = regexp.MustCompile(`^([1-9][0-9]{0,9})(B|KiB|MiB)$`)
	units = map[string]uint64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}
)

// Size reads a size with its unit, such as 64KiB, from 1 byte to high bytes.
func Size(dst *uint64, high uint64) Field {
	return func(v Value) {
		const want = "a size with its unit, such as 64KiB"
		s, ok := v.scalar(want, "bad-size", "!!str")
		if !ok {
			return
		}
		m := size.FindStringSubmatch(s)
		if m == nil {
			v.Fail(want, "bad-size")
			return
		}
		n, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil || n*units[m[2]] > high {
			v.Fail(fmt.Sprintf("at most %d bytes", high), "out-of-range")
			return
		}
		*dst = n * units[m[2]]
	}
}

var decimal = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})(\.[0-9]{1,3})?$`)

// ParseSeconds parses a number of seconds without a unit and with up to three decimals. ok is false if s is
// not one.
func ParseSeconds(s string) (d time.Duration, ok bool) {
	if !decimal.MatchString(s) {
		return 0, false
	}
	d, err := time.ParseDuration(s + "s")
	return d, err == nil
}

// Seconds reads a number of seconds in the form of [ParseSeconds], from low to high.
func Seconds(dst *time.Duration, low, high time.Duration) Field {
	return func(v Value) {
		const want = "a number of seconds such as 30 or 0.5"
		s, ok := v.scalar(want, "bad-seconds", "!!int", "!!float")
		if !ok {
			return
		}
		d, ok := ParseSeconds(s)
		if !ok {
			v.Fail(want, "bad-seconds")
			return
		}
		if d < low || d > high {
			v.Fail(fmt.Sprintf("a number of seconds from %g to %g", low.Seconds(), high.Seconds()), "out-of-range")
			return
		}
		*dst = d
	}
}
