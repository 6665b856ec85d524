package byhand

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater.dev/api"
)

// TestStrangersDoNotFillTheLog: ten lines a minute, the next says how many are
// missing, and what an operator with a token does is always there.
func TestStrangersDoNotFillTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		a := &Audit{Log: slog.New(slog.NewTextHandler(&log, nil))}
		stranger := &Attempt{Stranger: true, Refused: &Refusal{http.StatusUnauthorized, "who are you?"}}
		known := &Attempt{Change: Change{Change: api.Change{By: "alice"}}}
		wrote := func(at *Attempt, times int) int {
			before := strings.Count(log.String(), "\n")
			for range times {
				a.Write(at)
			}
			return strings.Count(log.String(), "\n") - before
		}
		for i, step := range []struct {
			at          *Attempt
			times, want int
			says        string // the last line has
		}{
			{stranger, 10, 10, "who are you?"},
			{stranger, 1000, 0, ""},
			{known, 3, 3, "by=alice"},
			{stranger, 7, 0, ""},
		} {
			if got := wrote(step.at, step.times); got != step.want {
				t.Errorf("step %d: %d lines for %d attempts, want %d", i, got, step.times, step.want)
			}
			if !strings.Contains(log.String(), step.says) {
				t.Errorf("step %d: no %q in the log", i, step.says)
			}
		}
		time.Sleep(time.Minute)
		if got := wrote(stranger, 12); got != 10 {
			t.Errorf("in the next minute: %d lines, want 10", got)
		}
		if got := strings.Count(log.String(), "left_out=1000\n"); got != 1 {
			t.Errorf("left_out=1000 is there %d times, want once:\n%s", got, log.String())
		}
		if got := strings.Count(log.String(), "left_out=7\n"); got != 1 {
			t.Errorf("left_out=7 is there %d times, want once:\n%s", got, log.String())
		}
		if got, want := a.Counts(), (Counts{Done: 3, Unauthorized: 10 + 1000 + 7 + 12}); got != want {
			t.Errorf("counts %+v, want %+v", got, want)
		}
	})
}

// TestLongWords: the beginning of a long text is in the log, and not all of it.
func TestLongWords(t *testing.T) {
	var log strings.Builder
	a := &Audit{Log: slog.New(slog.NewTextHandler(&log, nil))}
	long := strings.Repeat("x", 100_000)
	a.Write(&Attempt{Key: long, Change: Change{Change: api.Change{Action: api.Action(long), By: long, Reason: long, ExpiresIn: &long}}, Refused: &Refusal{400, long}})
	if got := log.Len(); got > 4000 {
		t.Errorf("the line has %d bytes", got)
	}
}
