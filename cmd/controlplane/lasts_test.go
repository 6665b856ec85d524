package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestLasts(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"10m": 10 * time.Minute, "1h30m": 90 * time.Minute, "1w": 7 * day, "0s": 0, "1d": day, "1.5d": 36 * time.Hour, "1d12h": 36 * time.Hour, "1w2d3s": 9*day + 3*time.Second,
		"0": 0, "-1d": -day, "1d-1h": 23 * time.Hour, "-53375d-53375d": -2 * 53_375 * day,
	} {
		var l lasts
		if err := l.Set(text); err != nil || time.Duration(l) != want {
			t.Errorf("%s: %s, %v; want %s", text, time.Duration(l), err, want)
		}
	}
	for _, text := range []string{
		"", "d", "1", "1x", "h1d", "1d1", "ever", "d1", "1e999d", "1d d", "1e9w", "nand", "infd", "300000000h",
		"53375d53375d53375d53375d1h", "53375d53375d1000h", "-53375d-53375d-1000h",
	} {
		var l lasts
		if err := l.Set(text); err == nil || !strings.Contains(err.Error(), "must be one such as") {
			t.Errorf("%q: %s, %v; want an error", text, time.Duration(l), err)
		}
	}
}

// TestForHasNoDefault in the help of a flag that has to be given, and 0 is refused as such.
func TestForHasNoDefault(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run([]string{"breakers", "force", "--help"}, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "1h30m or 1d, at most 7d\n") {
		t.Errorf("exit code %d:\n%s%s", code, stdout.String(), stderr.String())
	}
	stderr.Reset()
	code := run([]string{"breakers", "force", "payments", "open", "--reason", "x", "--for", "0s"}, &stdout, &stderr)
	if want := "--for = 0s; must be a duration above 0"; code != exitUsage || !strings.Contains(stderr.String(), want) {
		t.Errorf("exit code %d: %s; want %q", code, stderr.String(), want)
	}
}
