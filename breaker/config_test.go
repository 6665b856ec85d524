package breaker

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestDefaultConfig(t *testing.T) {
	want := Config{
		ConsecutiveFailures:                   5,
		WindowDuration:                        10 * time.Second,
		MinimumNumberOfCalls:                  10,
		FailureRateThreshold:                  5_000,
		SlowCallDurationThreshold:             2 * time.Second,
		SlowCallRateThreshold:                 Whole,
		WaitDurationInOpenState:               30 * time.Second,
		BackoffMultiplier:                     100,
		BackoffMax:                            5 * time.Minute,
		PermittedNumberOfCallsInHalfOpenState: 3,
		SuccessThreshold:                      3,
		MaxWaitDurationInHalfOpenState:        60 * time.Second,
	}
	got := DefaultConfig()
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if ps := got.Validate(); len(ps) > 0 {
		t.Errorf("problems %v", ps)
	}
}

// TestValidateBounds: each field may be at its bounds, and not one beyond.
func TestValidateBounds(t *testing.T) {
	const (
		number   = "a number from 1 to 1000000"
		duration = "a duration from 1ms to 24h"
	)
	counts := func(set func(*Config, uint32)) func(*Config, int64) {
		return func(c *Config, v int64) { set(c, uint32(v)) }
	}
	durations := func(set func(*Config, time.Duration)) func(*Config, int64) {
		return func(c *Config, v int64) { set(c, time.Duration(v)) }
	}
	for _, tt := range []struct {
		field     string
		want      string
		low, high int64
		set       func(*Config, int64)
	}{
		{"consecutiveFailures", "a number from 0 to 1000000", 0, MaxCount, counts(func(c *Config, v uint32) { c.ConsecutiveFailures = v })},
		{"slidingWindow.duration", "a duration from 100ms to 24h", int64(MinWindow), int64(MaxDuration), durations(func(c *Config, v time.Duration) { c.WindowDuration = v })},
		{"mode", "Enforce, MetricsOnly, ForcedOpen or Disabled", 0, int64(Disabled), func(c *Config, v int64) { c.Mode = Mode(v) }},
		{"slowCallDurationThreshold", duration, int64(time.Millisecond), int64(MaxDuration), durations(func(c *Config, v time.Duration) { c.SlowCallDurationThreshold = v })},
		{"slowCallRateThreshold", "a share from 0% to 100%", 0, int64(Whole), counts(func(c *Config, v uint32) { c.SlowCallRateThreshold = Ratio(v) })},
		{"backoff.multiplier", "a number from 1 to 100", 100, MaxMultiplier, counts(func(c *Config, v uint32) { c.BackoffMultiplier = Hundredths(v) })},
		{"backoff.max", duration, int64(time.Millisecond), int64(MaxDuration), durations(func(c *Config, v time.Duration) { c.BackoffMax = v })},
		{"backoff.jitter", "a share from 0% to 100%", 0, int64(Whole), counts(func(c *Config, v uint32) { c.BackoffJitter = Ratio(v) })},
		{"ramp.duration", "a duration from 0s to 24h", 0, int64(MaxDuration), durations(func(c *Config, v time.Duration) { c.RampDuration = v })},
		{"minimumNumberOfCalls", number, 1, MaxCount, counts(func(c *Config, v uint32) { c.MinimumNumberOfCalls = v })},
		{"failureRateThreshold", "a share from 0% to 100%", 0, int64(Whole), counts(func(c *Config, v uint32) { c.FailureRateThreshold = Ratio(v) })},
		{"waitDurationInOpenState", duration, int64(time.Millisecond), int64(MaxDuration), durations(func(c *Config, v time.Duration) { c.WaitDurationInOpenState = v })},
		{"permittedNumberOfCallsInHalfOpenState", number, 1, MaxCount, counts(func(c *Config, v uint32) { c.PermittedNumberOfCallsInHalfOpenState = v })},
		{"successThreshold", number, 1, MaxCount, counts(func(c *Config, v uint32) { c.SuccessThreshold = v })},
		{"maxWaitDurationInHalfOpenState", duration, int64(time.Millisecond), int64(MaxDuration), durations(func(c *Config, v time.Duration) { c.MaxWaitDurationInHalfOpenState = v })},
	} {
		t.Run(tt.field, func(t *testing.T) {
			want := []Problem{{tt.field, tt.want, "out-of-range"}}
			for v, problems := range map[int64][]Problem{tt.low: nil, tt.high: nil, tt.low - 1: want, tt.high + 1: want} {
				c := DefaultConfig()
				tt.set(&c, v)
				if got := c.Validate(); !slices.Equal(got, problems) {
					t.Errorf("at %d: problems %v, want %v", v, got, problems)
				}
			}
		})
	}
}

// TestValidateReportsEverything: all problems at once, and no field is forgotten.
func TestValidateReportsEverything(t *testing.T) {
	var counted Config
	for i := range fields {
		fields[i].set(&counted, fields[i].High+1)
	}
	timed := counted
	timed.WindowSize = 0
	wrong := map[string]bool{}
	for _, p := range slices.Concat(timed.Validate(), counted.Validate()) {
		wrong[p.Field] = true
	}
	if got, want := len(wrong), reflect.TypeFor[Config]().NumField(); got != want {
		t.Errorf("%d problems of a config in which all is wrong, want one for each of %d fields: %v", got, want, wrong)
	}
}

// TestValidateWindowSize: 0 is a time-based window.
func TestValidateWindowSize(t *testing.T) {
	for size, want := range map[uint32]int{0: 0, 1: 0, MaxWindowSize: 0, MaxWindowSize + 1: 1} {
		c := DefaultConfig()
		c.WindowSize = size
		if got := c.Validate(); len(got) != want || want > 0 && got[0].Field != "slidingWindow.size" {
			t.Errorf("at %d: problems %v, want %d", size, got, want)
		}
	}
}

// TestFieldsKnowsEveryField: the table has a row for each field of a Config, in its order.
func TestFieldsKnowsEveryField(t *testing.T) {
	var c Config
	v, rows := reflect.ValueOf(&c).Elem(), Fields()
	if len(rows) != v.NumField() {
		t.Fatalf("%d rows, want %d", len(rows), v.NumField())
	}
	paths := map[string]bool{}
	for i, f := range rows {
		if got, want := f.Pointer(&c), v.Field(i).Addr().Interface(); got != want {
			t.Errorf("row %s is about another field than %s", f.Path, v.Type().Field(i).Name)
		}
		if paths[f.Path] || f.Low > f.High {
			t.Errorf("row %s is there twice, or from %d to %d", f.Path, f.Low, f.High)
		}
		paths[f.Path] = true
	}
}

func TestHundredths(t *testing.T) {
	for h, want := range map[Hundredths]string{0: "0", 5: "0.05", 100: "1", 150: "1.5", 125: "1.25", MaxMultiplier: "100"} {
		if got, number := h.String(), fmt.Sprint(h.Float()); got != want || number != want {
			t.Errorf("Hundredths(%d) is %q and the number %s, want %s", h, got, number, want)
		}
	}
}

func TestRatioReached(t *testing.T) {
	for _, tt := range []struct {
		ratio       Ratio
		part, total uint64
		want        bool
	}{
		{5_000, 5, 10, true},
		{5_000, 4, 10, false},
		{5_001, 5, 10, false},
		{1, 1, 10_000, true},
		{1, 1, 10_001, false},
		{Whole, 3, 3, true},
		{Whole, 2, 3, false},
		{0, 0, 1, true},
		{0, 0, 0, false},
		{Whole, 0, 0, false},
		{5_000, 20_000_000_000, 40_000_000_000, true},
		{5_000, 19_999_999_999, 40_000_000_000, false},
	} {
		if got := tt.ratio.Reached(tt.part, tt.total); got != tt.want {
			t.Errorf("%d of %d reaches %s: %t, want %t", tt.part, tt.total, tt.ratio, got, tt.want)
		}
	}
}

func TestRatioString(t *testing.T) {
	for r, want := range map[Ratio]string{
		0: "0%", 1: "0.01%", 10: "0.1%", 105: "1.05%", 100: "1%", 1_250: "12.5%", 3_333: "33.33%", 5_000: "50%", Whole: "100%",
	} {
		if got := r.String(); got != want {
			t.Errorf("Ratio(%d) is %q, want %q", r, got, want)
		}
	}
}

func TestKeyString(t *testing.T) {
	for k, want := range map[Key]string{{Upstream: "payments"}: "payments", {Upstream: "payments", Route: "charge"}: "payments/charge", {"payments", "charge", "node/1@x"}: "payments/charge@node/1@x", {Upstream: "payments", Node: "n"}: "payments@n"} {
		if got := k.String(); got != want {
			t.Errorf("%#v is %q, want %q", k, got, want)
		}
		if got := ParseKey(want); got != k {
			t.Errorf("%q is read as %#v, want %#v", want, got, k)
		}
	}
}

// TestNames: logs, metrics and files use these names.
func TestNames(t *testing.T) {
	var got []string
	for s := Closed; s <= Open; s++ {
		got = append(got, s.String())
	}
	for o := Success; o <= Ignored; o++ {
		got = append(got, o.String())
	}
	for r := ConsecutiveFailures; r <= Restored; r++ {
		got = append(got, r.String())
	}
	for m := Enforce; m <= Disabled; m++ {
		got = append(got, m.String())
	}
	want := []string{
		"closed", "half_open", "open",
		"success", "failure", "timeout", "ignored",
		"consecutive_failures", "failure_rate", "slow_call_rate", "wait_over", "probe_failed", "probes_succeeded", "half_open_expired",
		"policy_changed", "policy_forced", "forced", "force_expired", "reset", "restored",
		"Enforce", "MetricsOnly", "ForcedOpen", "Disabled",
	}
	if !slices.Equal(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
}
