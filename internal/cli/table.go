package cli

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"breakwater.dev/api"
)

// WriteTable prints a line for each breaker of a listing, or that there is none.
func WriteTable(w io.Writer, l *Listing) error {
	if len(l.Breakers) == 0 {
		_, err := fmt.Fprintf(w, "no breakers%s\n", l.Selection)
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tSTATE\tSINCE\tCALLS\tFAILURES\tSLOW\tREASON\tFORCED\tCAUSE")
	for i := range l.Breakers {
		b := &l.Breakers[i]
		window, reason := b.Window, "-"
		if last := b.LastTransition; last != nil {
			reason = last.Reason
			if b.State == api.Open {
				window = last.Window
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", b.Key, state(b), age(l.At.Sub(b.Since)),
			window.Calls, window.Failures, window.Slow, reason, forced(b), cause(b))
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("printing breakers: %w", err)
	}
	return nil
}

// state returns the state of a breaker, with its mode where no call heeds the state.
func state(b *api.Breaker) string {
	if b.Mode == api.MetricsOnly || b.Mode == api.Disabled {
		return string(b.State) + " (" + string(b.Mode) + ")"
	}
	return string(b.State)
}

// cause returns what began the episode of a breaker that is not closed.
func cause(b *api.Breaker) string {
	if b.State == api.Closed || b.Cause == nil {
		return "-"
	}
	s := b.Cause.Reason
	if b.Cause.By != "" {
		s += " by " + b.Cause.By
	}
	if b.Cause.Window.Calls > 0 {
		s += " (" + inWindow(b.Cause.Window) + ")"
	}
	return s + " at " + clockTime(b.Cause.At)
}

// forced returns who holds a breaker in its state, and why.
func forced(b *api.Breaker) string {
	switch {
	case b.Forced == nil:
		return "-"
	case b.Forced.Until == nil:
		return fmt.Sprintf("by %s: %s", b.Forced.By, b.Forced.Reason)
	default:
		return fmt.Sprintf("by %s until %s: %s", b.Forced.By, clockTime(*b.Forced.Until), b.Forced.Reason)
	}
}

// inWindow returns what a breaker had seen.
func inWindow(w api.Window) string {
	return fmt.Sprintf("%s, %d failed, %d slow, %d failed in a row", Plural(int(w.Calls), "call"), w.Failures, w.Slow, w.Run)
}

// AnsweredBy returns which control plane it was, in words.
func AnsweredBy(i *api.Instance) string {
	if i.Proxies == 1 {
		return i.Name + ", which has 1 proxy"
	}
	return fmt.Sprintf("%s, which has %d proxies", i.Name, i.Proxies)
}

// Plural returns a number of things, such as "1 call" or "2 calls".
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// clockTime returns an instant for readers: without parts of seconds.
func clockTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// age returns how long something has lasted, in its two largest units. The clock that it is
// taken from may be behind by as much as a second.
func age(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	}
}
