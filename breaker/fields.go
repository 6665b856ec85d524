package breaker

import (
	"fmt"
	"slices"
	"time"
)

// Field is one field of a [Config]: its name in a policy, the values that it may have,
// and its default.
type Field struct {
	// Path is the field's name in a policy, such as "backoff.multiplier". It is below
	// "breaker" there, except for "mode", which is beside it.
	Path string
	// Pointer returns a pointer to the field in c: a *uint32, a *time.Duration, a *[Ratio], a
	// *[Hundredths] or a *[Mode].
	Pointer func(c *Config) any
	// Low and High are the least and the greatest value, and Default is the value where a
	// policy says nothing, in the unit of the field.
	Low, High, Default int64
	// Idle reports whether the field is out of force in c, and may have any value. It
	// is nil for a field that is always in force.
	Idle func(c *Config) bool
}

// Limits on what a configuration may ask for. They are far beyond use and keep
// arithmetic on counts and durations from overflowing.
const (
	MaxCount      = 1_000_000
	MaxWindowSize = 100_000
	MinMultiplier = 100 // in hundredths: 1x
	MaxMultiplier = 100 * 100
	MaxDuration   = 24 * time.Hour
	MinWindow     = 100 * time.Millisecond
)

// Fields returns all fields of a [Config], in its order. Code that reads, checks or lists
// configurations goes by them, so that a new field is a field of Config and a row here.
func Fields() []Field { return slices.Clone(fields) }

var fields = []Field{
	{Path: "mode", Pointer: func(c *Config) any { return &c.Mode },
		High: int64(Disabled), Default: int64(Enforce)},
	{Path: "consecutiveFailures", Pointer: func(c *Config) any { return &c.ConsecutiveFailures },
		High: MaxCount, Default: 5},
	{Path: "slidingWindow.size", Pointer: func(c *Config) any { return &c.WindowSize },
		Low: 1, High: MaxWindowSize,
		Idle: func(c *Config) bool { return c.WindowSize == 0 }},
	{Path: "slidingWindow.duration", Pointer: func(c *Config) any { return &c.WindowDuration },
		Low: int64(MinWindow), High: int64(MaxDuration), Default: int64(10 * time.Second),
		Idle: func(c *Config) bool { return c.WindowSize > 0 }},
	{Path: "minimumNumberOfCalls", Pointer: func(c *Config) any { return &c.MinimumNumberOfCalls },
		Low: 1, High: MaxCount, Default: 10},
	{Path: "failureRateThreshold", Pointer: func(c *Config) any { return &c.FailureRateThreshold },
		High: int64(Whole), Default: int64(Whole / 2)},
	{Path: "slowCallDurationThreshold", Pointer: func(c *Config) any { return &c.SlowCallDurationThreshold },
		Low: int64(time.Millisecond), High: int64(MaxDuration), Default: int64(2 * time.Second),
		Idle: func(c *Config) bool { return c.SlowCallDurationThreshold == 0 }},
	{Path: "slowCallRateThreshold", Pointer: func(c *Config) any { return &c.SlowCallRateThreshold },
		High: int64(Whole), Default: int64(Whole)},
	{Path: "waitDurationInOpenState", Pointer: func(c *Config) any { return &c.WaitDurationInOpenState },
		Low: int64(time.Millisecond), High: int64(MaxDuration), Default: int64(30 * time.Second)},
	{Path: "backoff.multiplier", Pointer: func(c *Config) any { return &c.BackoffMultiplier },
		Low: MinMultiplier, High: MaxMultiplier, Default: MinMultiplier},
	{Path: "backoff.max", Pointer: func(c *Config) any { return &c.BackoffMax },
		Low: int64(time.Millisecond), High: int64(MaxDuration), Default: int64(5 * time.Minute)},
	{Path: "backoff.jitter", Pointer: func(c *Config) any { return &c.BackoffJitter },
		High: int64(Whole)},
	{Path: "permittedNumberOfCallsInHalfOpenState", Pointer: func(c *Config) any { return &c.PermittedNumberOfCallsInHalfOpenState },
		Low: 1, High: MaxCount, Default: 3},
	{Path: "successThreshold", Pointer: func(c *Config) any { return &c.SuccessThreshold },
		Low: 1, High: MaxCount, Default: 3},
	{Path: "maxWaitDurationInHalfOpenState", Pointer: func(c *Config) any { return &c.MaxWaitDurationInHalfOpenState },
		Low: int64(time.Millisecond), High: int64(MaxDuration), Default: int64(60 * time.Second)},
	{Path: "ramp.duration", Pointer: func(c *Config) any { return &c.RampDuration },
		High: int64(MaxDuration)},
}

// value returns what the field is in c, in the unit of the field.
func (f *Field) value(c *Config) int64 {
	switch p := f.Pointer(c).(type) {
	case *uint32:
		return int64(*p)
	case *time.Duration:
		return int64(*p)
	case *Ratio:
		return int64(*p)
	case *Hundredths:
		return int64(*p)
	case *Mode:
		return int64(*p)
	}
	panic("the field " + f.Path + " has a type that Fields does not document")
}

// set makes the field v in c.
func (f *Field) set(c *Config, v int64) {
	switch p := f.Pointer(c).(type) {
	case *uint32:
		*p = uint32(v)
	case *time.Duration:
		*p = time.Duration(v)
	case *Ratio:
		*p = Ratio(v)
	case *Hundredths:
		*p = Hundredths(v)
	case *Mode:
		*p = Mode(v)
	}
}

// want says in words which values the field may have.
func (f *Field) want() string {
	switch f.Pointer(&Config{}).(type) {
	case *uint32:
		return fmt.Sprintf("a number from %d to %d", f.Low, f.High)
	case *time.Duration:
		return fmt.Sprintf("a duration from %s to 24h", time.Duration(f.Low))
	case *Ratio:
		return fmt.Sprintf("a share from %s to %s", Ratio(f.Low), Ratio(f.High))
	case *Hundredths:
		return fmt.Sprintf("a number from %s to %s", Hundredths(f.Low), Hundredths(f.High))
	default:
		return "Enforce, MetricsOnly, ForcedOpen or Disabled"
	}
}

// DefaultConfig returns the values that hold where a policy says nothing.
func DefaultConfig() Config {
	var c Config
	for i := range fields {
		fields[i].set(&c, fields[i].Default)
	}
	return c
}

// Problem is one thing that is wrong with a [Config]. Field is the [Field.Path] of the
// field, and Want says which values it may have.
type Problem struct {
	Field, Want, Rule string
}

// Validate returns everything that is wrong with c, and nothing when c can be used.
func (c Config) Validate() []Problem {
	var ps []Problem
	for i := range fields {
		f := &fields[i]
		if f.Idle != nil && f.Idle(&c) {
			continue
		}
		if v := f.value(&c); v < f.Low || v > f.High {
			ps = append(ps, Problem{f.Path, f.want(), "out-of-range"})
		}
	}
	return ps
}
