package outlier

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDefaultConfigIsValid(t *testing.T) {
	if got := DefaultConfig().Validate(); len(got) != 0 {
		t.Errorf("Validate() = %v, want nothing", got)
	}
}

func TestValidate(t *testing.T) {
	outOfRange := func(field, want string) []Problem { return []Problem{{field, want, "out-of-range"}} }
	for name, tc := range map[string]struct {
		change func(*Config)
		want   []Problem
	}{
		"interval 0":           {func(c *Config) { c.Interval = 0 }, outOfRange("interval", "a duration from 1ms to 24h")},
		"base 25h":             {func(c *Config) { c.BaseEjectionTime, c.MaxEjectionTime = 24*time.Hour+1, 24*time.Hour+1 }, append(outOfRange("baseEjectionTime", "a duration from 1ms to 24h"), outOfRange("maxEjectionTime", "a duration from 1ms to 24h")...)},
		"jitter negative":      {func(c *Config) { c.MaxEjectionTimeJitter = -1 }, outOfRange("maxEjectionTimeJitter", "a duration from 0s to 24h")},
		"max below base":       {func(c *Config) { c.MaxEjectionTime = time.Second }, []Problem{{"maxEjectionTime", "at least baseEjectionTime (30s)", "contradiction"}}},
		"count too large":      {func(c *Config) { c.SuccessRateRequestVolume = MaxCount + 1 }, outOfRange("successRateRequestVolume", "a number from 0 to 1000000")},
		"percent too large":    {func(c *Config) { c.MaxEjectionPercent = 101 }, outOfRange("maxEjectionPercent", "a share from 0% to 100%")},
		"every rule off":       {allOff, []Problem{{"", "a configuration with at least one rule that ejects", "no-ejection-rule"}}},
		"only a gateway rule":  {func(c *Config) { allOff(c); c.EnforcingConsecutiveGatewayErrors = 1 }, nil},
		"local rule, no split": {func(c *Config) { allOff(c); c.EnforcingLocalOriginSuccessRate = 100 }, []Problem{{"", "a configuration with at least one rule that ejects", "no-ejection-rule"}}},
		"local rule and split": {func(c *Config) {
			allOff(c)
			c.EnforcingLocalOriginSuccessRate, c.SplitExternalLocalOriginErrors = 100, true
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := DefaultConfig()
			tc.change(&c)
			if got := c.Validate(); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("Validate() = %v, want %v", got, tc.want)
			}
		})
	}
}

// allOff turns every rule off that Envoy has on by default.
func allOff(c *Config) {
	c.Consecutive5xxErrors = 0
	c.EnforcingSuccessRate = 0
	c.EnforcingConsecutiveLocalOriginFailures = 0
	c.EnforcingLocalOriginSuccessRate = 0
}

// TestValidateKnowsEveryField: every number has a range, also in a field that is added.
func TestValidateKnowsEveryField(t *testing.T) {
	fields := reflect.TypeFor[Config]()
	for i := range fields.NumField() {
		c := DefaultConfig()
		field := reflect.ValueOf(&c).Elem().Field(i)
		switch field.Kind() {
		case reflect.Uint32:
			field.SetUint(MaxCount + 1)
		case reflect.Int64:
			field.SetInt(int64(MaxDuration) + 1)
		default:
			continue
		}
		if got := c.Validate(); len(got) == 0 {
			t.Errorf("%s may have any value", fields.Field(i).Name)
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
	for i, f := range rows {
		name := v.Type().Field(i).Name
		if got, want := f.Pointer(&c), v.Field(i).Addr().Interface(); got != want || !strings.EqualFold(f.Path, name) {
			t.Errorf("row %s is about another field than %s", f.Path, name)
		}
	}
}

func TestPercentString(t *testing.T) {
	for p, want := range map[Percent]string{0: "0%", 7: "7%", 100: "100%"} {
		if got := p.String(); got != want {
			t.Errorf("Percent(%d) is %q, want %q", p, got, want)
		}
	}
}

func TestMaxEjected(t *testing.T) {
	for _, tc := range []struct {
		percent   Percent
		alwaysOne bool
		endpoints int
		want      int
	}{
		{10, false, 9, 0},
		{10, false, 10, 1},
		{10, true, 9, 1},
		{10, true, 0, 0},
		{50, true, 3, 1},
		{100, false, 3, 3},
		{0, false, 100, 0},
	} {
		c := Config{MaxEjectionPercent: tc.percent, AlwaysEjectOneEndpoint: tc.alwaysOne}
		if got := c.MaxEjected(tc.endpoints); got != tc.want {
			t.Errorf("%s (always one: %v) of %d endpoints: MaxEjected() = %d, want %d", tc.percent, tc.alwaysOne, tc.endpoints, got, tc.want)
		}
	}
}
