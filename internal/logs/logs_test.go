package logs

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/golden"
	"breakwater.dev/internal/typical"
	"breakwater.dev/outlier"
)

// at is the instant when d has passed.
func at(d time.Duration) breaker.Instant { return breaker.Instant(d) }

// lineTime matches the time at which a line was written.
var lineTime = regexp.MustCompile(`("time":|\btime=)"?[0-9T:.Z+-]+"?[, ]`)

// TestLogTransition has the lines of some changes of state in both formats.
func TestLogTransition(t *testing.T) {
	golden.Run(t, "testdata/log.txtar", func(t *testing.T, _ []txtar.File) map[string]string {
		out := map[string]string{}
		for _, format := range []string{"json", "text"} {
			var b bytes.Buffer
			log, err := New(&b, format, slog.LevelInfo)
			if err != nil {
				t.Fatal(err)
			}
			for _, tr := range append(typical.Transitions(), breaker.Transition{
				Key: breaker.Key{Upstream: "search"}, Edge: breaker.Edge{From: breaker.Open, To: breaker.Closed, Reason: breaker.Reset},
				Sequence: 2, Generation: 2, At: at(131*time.Second + 1234567*time.Nanosecond), Since: at(70 * time.Second), By: "bob", Note: "index is there",
				Cause: new(typical.Transitions()[1]),
			}) {
				LogTransition(log, tr, typical.Wall)
			}
			out[format] = string(lineTime.ReplaceAll(b.Bytes(), nil))
		}
		return out
	})
}

// TestLogEjection has the lines of what becomes of endpoints in both formats, and
// those for debugging only where they are asked for.
func TestLogEjection(t *testing.T) {
	found := outlier.Event{
		Kind: outlier.Ejected, Upstream: "stock", Endpoint: netip.MustParseAddrPort("10.0.0.7:8080"), Rule: outlier.SuccessRate,
		At: at(98*time.Second + 1234567*time.Nanosecond), For: time.Minute, Times: 2, Calls: 120, Failures: 72,
	}
	spared := outlier.Event{Kind: outlier.Detected, Upstream: "stock", Endpoint: found.Endpoint, Rule: outlier.ConsecutiveGatewayErrors, At: found.At, Run: 5}
	back := outlier.Event{Kind: outlier.Returned, Upstream: "stock", Endpoint: netip.MustParseAddrPort("[2001:db8::1]:8080"), At: at(160 * time.Second)}
	golden.Run(t, "testdata/log-ejection.txtar", func(t *testing.T, _ []txtar.File) map[string]string {
		out := map[string]string{}
		for name, level := range map[string]slog.Level{"json": slog.LevelInfo, "text": slog.LevelDebug} {
			var b bytes.Buffer
			log, err := New(&b, name, level)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range []outlier.Event{found, spared, back} {
				LogEjection(log, e, typical.Wall)
			}
			out[name] = string(lineTime.ReplaceAll(b.Bytes(), nil))
		}
		return out
	})
}

func TestLogLevel(t *testing.T) {
	var b bytes.Buffer
	log, err := New(&b, "text", slog.LevelWarn)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range breaker.Edges() {
		b.Reset()
		LogTransition(log, breaker.Transition{Edge: e}, typical.Wall)
		if got, want := b.Len() > 0, e.To == breaker.Open; got != want {
			t.Errorf("%v: a warning is %v, must be %v", e, got, want)
		}
	}
}

func TestLogFormatUnknown(t *testing.T) {
	_, err := New(&bytes.Buffer{}, "xml", slog.LevelInfo)
	if got, want := fmt.Sprint(err), `log format = "xml"; must be json or text`; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
}
