package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// lasts is a duration that a person types: as Go has it, and with days and weeks, such as
// 1d12h. It is a flag's value; 0 where the flag is not given.
type lasts time.Duration

// days of the units that Go's durations lack, since a day is not always 24 hours: here it is.
var days = map[byte]float64{'d': 1, 'w': 7}

// Set implements pflag's Value.
func (l *lasts) Set(text string) error {
	var whole time.Duration
	rest := text
	for {
		i := strings.IndexAny(rest, "dw")
		if i < 0 {
			break
		}
		n, err := strconv.ParseFloat(rest[:i], 64)
		d := n * days[rest[i]] * float64(24*time.Hour)
		if err != nil || !(math.Abs(d) < math.MaxInt64/2) {
			return fmt.Errorf("%q is no duration; must be one such as 10m, 1h30m or 1d", text)
		}
		whole, rest = whole+time.Duration(d), rest[i+1:]
	}
	if rest != "" || text == "" {
		d, err := time.ParseDuration(rest)
		if err != nil {
			return fmt.Errorf("%q is no duration; must be one such as 10m, 1h30m or 1d", text)
		}
		whole += d
	}
	*l = lasts(whole)
	return nil
}

// String implements pflag's Value.
func (l *lasts) String() string { return time.Duration(*l).String() }

// Type implements pflag's Value.
func (l *lasts) Type() string { return "duration" }
