package api

import (
	"fmt"
	"strings"
	"time"
)

// Timestamp returns t as answers and logs have times: in UTC, cut to the millisecond.
func Timestamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// Duration is a duration whose text is as in policies: "1m" where [time.Duration] has "1m0s".
type Duration time.Duration

// Measured returns d as answers and logs have durations that were measured: rounded to the millisecond.
func Measured(d time.Duration) Duration { return Duration(d.Round(time.Millisecond)) }

// String returns the text of d, such as "1m30s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText implements [encoding.TextMarshaler].
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes whatever [time.ParseDuration] does.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%.100q is no duration; must be one such as 1m30s", text)
	}
	*d = Duration(parsed)
	return nil
}
