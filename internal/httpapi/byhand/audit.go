package byhand

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Attempt is one attempt at a change by hand.
type Attempt struct {
	Remote, Key string
	Change      Change   // the parts of it that could be read
	Refused     *Refusal // nil: it was made
	Stranger    bool     // it was refused before anything was read, so that nothing says who made it
}

// strangersPerMinute is how many attempts of strangers are logged.
const strangersPerMinute = 10

// Audit writes one log line for each attempt, except that strangers get at most
// [strangersPerMinute]: a client without a token must not fill the log. The next line
// that is written says how many were left out, and the counts have them all.
type Audit struct {
	Log *slog.Logger

	mu        sync.Mutex
	minute    time.Time // when the present one began
	strangers int       // logged in it
	leftOut   uint64
	counts    Counts
}

// Counts are how many attempts were made, by what became of them.
type Counts struct{ Done, Refused, Unauthorized uint64 }

// Counts returns the totals.
func (a *Audit) Counts() Counts {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counts
}

// Write counts at, and logs it: as a warning, whatever became of it, so that no
// usual level hides it.
func (a *Audit) Write(at *Attempt) {
	leftOut, loggable := a.admit(at)
	if !loggable {
		return
	}
	result, expires := "done", ""
	if at.Refused != nil {
		result = "refused: " + at.Refused.Text
	}
	if at.Change.ExpiresIn != nil {
		expires = *at.Change.ExpiresIn
	}
	attrs := []slog.Attr{
		slog.Bool("audit", true),
		slog.String("by", clip(at.Change.By)),
		slog.String("remote", at.Remote),
		slog.String("action", clip(string(at.Change.Action))),
		slog.String("key", clip(at.Key)),
		slog.String("reason", clip(at.Change.Reason)),
		slog.String("expires_in", clip(expires)),
		slog.String("result", clip(result)),
	}
	if leftOut > 0 {
		attrs = append(attrs, slog.Uint64("left_out", leftOut))
	}
	a.Log.LogAttrs(context.Background(), slog.LevelWarn, "change by hand", attrs...)
}

// admit counts at. It returns whether the attempt is to be logged, and how many were not since the last one that was.
func (a *Audit) admit(at *Attempt) (leftOut uint64, loggable bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case at.Stranger:
		a.counts.Unauthorized++
		if now := time.Now(); now.Sub(a.minute) >= time.Minute {
			a.minute, a.strangers = now, 0
		}
		if a.strangers >= strangersPerMinute {
			a.leftOut++
			return 0, false
		}
		a.strangers++
	case at.Refused != nil:
		a.counts.Refused++
	default:
		a.counts.Done++
	}
	leftOut, a.leftOut = a.leftOut, 0
	return leftOut, true
}

// clip shortens text that a client wrote.
func clip(s string) string {
	const most = 400
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
