package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
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
	owners := slices.ContainsFunc(l.Breakers, func(b api.Breaker) bool { return b.Owner != "" })
	heading := "KEY\tSTATE\tSINCE\tCALLS\tFAILURES\tSLOW\tREASON\tFORCED\tCAUSE"
	if owners {
		heading += "\tOWNER"
	}
	fmt.Fprintln(t, heading)
	for i := range l.Breakers {
		b := &l.Breakers[i]
		window, reason := b.Window, "-"
		if last := b.LastTransition; last != nil {
			reason = last.Reason
			if b.State == api.Open {
				window = last.Window
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s", b.Key, state(b), age(l.At.Sub(b.Since)),
			window.Calls, window.Failures, window.Slow, reason, forced(b), cause(b))
		if owners {
			fmt.Fprintf(t, "\t%s", owner(b))
		}
		fmt.Fprintln(t)
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

// owner returns the replica that decides about a breaker.
func owner(b *api.Breaker) string {
	if b.LocalView {
		return b.Owner + " (unreachable: local view)"
	}
	return cmp.Or(b.Owner, "-")
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
	text := fmt.Sprintf("%s, which has %d proxies", i.Name, i.Proxies)
	if i.Proxies == 1 {
		text = i.Name + ", which has 1 proxy"
	}
	switch r := i.Replicas; {
	case r == nil:
	case r.Unreachable > 0:
		text += ": " + r.View
	default:
		text += fmt.Sprintf(", for all %d replicas", len(r.Members))
	}
	return text
}

// InForce says where a change by hand is in force.
func InForce(i *api.Instance) string {
	if i.Replicas == nil {
		return "in force on this instance only: " + AnsweredBy(i)
	}
	if i.Replicas.Unreachable > 0 {
		return "in force on the replicas that are reached: " + AnsweredBy(i)
	}
	return fmt.Sprintf("in force on all %d replicas: answered by %s", len(i.Replicas.Members), i.Name)
}

// WriteReplicas prints a line for each replica.
func WriteReplicas(w io.Writer, r *api.Replicas) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tADDRESS\tREACHABLE\tOWNS\tID")
	for _, m := range r.Members {
		reachable := "yes"
		if !m.Reachable {
			reachable = "no"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", m.Name, m.Address, reachable, Plural(m.Owns, "breaker"), m.ID)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("printing replicas: %w", err)
	}
	return nil
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
