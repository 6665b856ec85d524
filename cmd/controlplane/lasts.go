package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// lasts is a duration as an operator types it: as in Go, and with days and weeks, such as
// 1d12h. It is a flag's value; 0 where the flag is not given.
type lasts time.Duration

// days has the units that Go's durations lack. A day is always 24 hours here.
var days = map[byte]float64{'d': 1, 'w': 7}

// Set implements pflag's Value.
func (l *lasts) Set(text string) error {
	var whole time.Duration
	for rest := text; rest != "" || text == ""; {
		var d time.Duration
		var err error
		if i := strings.IndexAny(rest, "dw"); i >= 0 {
			d, err = daysOf(rest[:i], days[rest[i]])
			rest = rest[i+1:]
		} else {
			d, err = time.ParseDuration(rest)
			rest = ""
		}
		if err == nil && (whole+d > whole) != (d > 0) {
			err = strconv.ErrRange // it has gone round
		}
		if err != nil {
			return fmt.Errorf("%q is no duration; must be one such as 10m, 1h30m or 1d", text)
		}
		whole += d
	}
	*l = lasts(whole)
	return nil
}

// daysOf returns number units, each of which has a number of days.
func daysOf(number string, each float64) (time.Duration, error) {
	n, err := strconv.ParseFloat(number, 64)
	d := n * each * float64(24*time.Hour)
	if err == nil && !(math.Abs(d) < math.MaxInt64/2) {
		err = strconv.ErrRange
	}
	return time.Duration(d), err
}

// String implements pflag's Value. It is empty for 0, so that help shows no default.
func (l *lasts) String() string {
	if *l == 0 {
		return ""
	}
	return time.Duration(*l).String()
}

// Type implements pflag's Value.
func (l *lasts) Type() string { return "duration" }
