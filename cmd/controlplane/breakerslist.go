package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"breakwater.dev/internal/nearest"
)

// breakerView is what is shown of one breaker of /breakers.
type breakerView struct {
	Key            string          `json:"key"`
	State          string          `json:"state"`
	Mode           string          `json:"mode"`
	Since          time.Time       `json:"since"`
	Window         windowView      `json:"window"`
	LastTransition *transitionView `json:"last_transition"`
	Cause          *transitionView `json:"cause"`
	Forced         *forcedView     `json:"forced"`
	AnsweredBy     *instanceView   `json:"answered_by"` // of an answer that is this breaker alone
}

// instanceView is the control plane that answers.
type instanceView struct {
	Instance string `json:"instance"`
	Proxies  int    `json:"proxies"` // connected to it
}

func (v *instanceView) String() string {
	if v.Proxies == 1 {
		return v.Instance + ", which has 1 proxy"
	}
	return fmt.Sprintf("%s, which has %d proxies", v.Instance, v.Proxies)
}

type windowView struct {
	Calls    uint64 `json:"calls"`
	Failures uint64 `json:"failures"`
	Slow     uint64 `json:"slow"`
	Run      uint64 `json:"consecutive_failures"`
}

// String tells of the window in words.
func (w windowView) String() string {
	return fmt.Sprintf("%s, %d failed, %d slow, %d failed in a row", plural(int(w.Calls), "call"), w.Failures, w.Slow, w.Run)
}

// forcedView is who holds a breaker in its state.
type forcedView struct {
	By     string     `json:"by"`
	Reason string     `json:"reason"`
	Until  *time.Time `json:"until"` // nil: not by hand, and without an end
}

// selection says what is wanted to know, of which breakers. The zero value is about all.
type selection struct {
	keys      []string // empty: all
	state     string   // empty: any
	forced    bool     // only those that are
	originals bool     // all there is about them, as JSON
}

// String describes the selection in words that can follow "breakers".
func (s selection) String() string {
	switch {
	case s.state != "" && s.forced:
		return " that are " + s.state + " and forced"
	case s.state != "":
		return " that are " + s.state
	case s.forced:
		return " that are forced"
	default:
		return ""
	}
}

// wants tells whether a breaker is to be shown.
func (s selection) wants(b *breakerView) bool {
	return (s.state == "" || s.state == b.State) && (!s.forced || b.Forced != nil)
}

// listing is the breakers of a selection at one instant.
type listing struct {
	selection
	breakers []breakerView
	texts    []json.RawMessage // of the same breakers; only if originals are wanted
	now      time.Time         // at the server
	// AnsweredBy is nil where the server does not say: it is older.
	AnsweredBy *instanceView
}

// read adds the next breaker if it is wanted.
func (l *listing) read(d *json.Decoder) error {
	var text json.RawMessage
	if err := d.Decode(&text); err != nil {
		return err
	}
	var b breakerView
	if err := json.Unmarshal(text, &b); err != nil {
		return err
	}
	if b.AnsweredBy != nil {
		l.AnsweredBy = b.AnsweredBy
	}
	if !l.wants(&b) {
		return nil
	}
	l.breakers = append(l.breakers, b)
	if l.originals {
		l.texts = append(l.texts, text)
	}
	return nil
}

// readAll adds those of a page one by one: a page of 100,000 breakers is some hundred megabytes.
func (l *listing) readAll(d *json.Decoder) error {
	for _, want := range []json.Token{json.Delim('{'), "breakers", json.Delim('[')} {
		got, err := d.Token()
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("%v where %v was to be", got, want)
		}
	}
	for d.More() {
		if err := l.read(d); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil { // the end of the list, or of a page that was cut off
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return err
		}
		if name == "answered_by" {
			if err := json.Unmarshal(value, &l.AnsweredBy); err != nil {
				return err
			}
		}
	}
	return nil
}

// list returns the breakers of a selection. It is an error when one that is named does not exist.
func (c *client) list(ctx context.Context, s selection) (listing, error) {
	l := listing{selection: s}
	var err error
	for _, key := range s.keys {
		if l.now, err = c.call(ctx, http.MethodGet, breakerPath(key), nil, l.read); err != nil {
			return l, c.unknown(ctx, key, err)
		}
	}
	if len(s.keys) > 0 {
		return l, nil
	}
	query := url.Values{}
	if s.state != "" {
		query.Set("state", s.state)
	}
	if s.forced {
		query.Set("forced", "true")
	}
	path := "/breakers"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	l.now, err = c.call(ctx, http.MethodGet, path, nil, l.readAll)
	return l, err
}

// keys returns the names of all breakers.
func (c *client) keys(ctx context.Context) ([]string, error) {
	l, err := c.list(ctx, selection{})
	known := make([]string, len(l.breakers))
	for i, b := range l.breakers {
		known[i] = b.Key
	}
	return known, err
}

// unknown adds to an error that says that there is no such breaker what might have been meant.
func (c *client) unknown(ctx context.Context, key string, err error) error {
	var no *answerError
	if !errors.As(err, &no) || no.status != http.StatusNotFound {
		return err
	}
	known, listErr := c.keys(ctx)
	near := meant(key, known)
	if listErr != nil || len(near) == 0 {
		return fmt.Errorf("%w; 'breakwater breakers list' shows all", err)
	}
	return fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
}

// meant returns up to three keys that someone may have meant, the nearest first.
func meant(key string, known []string) []string {
	type candidate struct {
		key      string
		distance int
	}
	var near []candidate
	for _, k := range known {
		d := nearest.Distance(strings.ToLower(key), strings.ToLower(k))
		part := len(key) > 2 && strings.Contains(strings.ToLower(k), strings.ToLower(key))
		if d <= max(1, len(key)/3) || part {
			near = append(near, candidate{k, d})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return cmp.Compare(a.distance, b.distance) })
	var found []string
	for _, n := range near[:min(3, len(near))] {
		found = append(found, n.key)
	}
	return found
}

// writeJSON prints all there is about the breakers, in the shape of /breakers.
func (l *listing) writeJSON(w io.Writer) error {
	texts := l.texts
	if texts == nil {
		texts = []json.RawMessage{}
	}
	return writeIndented(w, struct {
		Breakers   []json.RawMessage `json:"breakers"`
		AnsweredBy *instanceView     `json:"answered_by,omitempty"`
	}{texts, l.AnsweredBy})
}

func writeIndented(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("printing breakers: %w", err)
	}
	return nil
}

// writeTable prints a line for each breaker, or that there is none that is wanted.
func (l *listing) writeTable(w io.Writer) error {
	if len(l.breakers) == 0 {
		_, err := fmt.Fprintf(w, "no breakers%s\n", l.selection)
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tSTATE\tSINCE\tCALLS\tFAILURES\tSLOW\tREASON\tFORCED\tCAUSE")
	for _, b := range l.breakers {
		window, reason := b.Window, "-"
		if last := b.LastTransition; last != nil {
			reason = last.Reason
			if b.State == "open" {
				window = last.Window
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", b.Key, b.state(), age(l.now.Sub(b.Since)),
			window.Calls, window.Failures, window.Slow, reason, b.forced(), b.cause())
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("printing breakers: %w", err)
	}
	return nil
}

// state says where the breaker stands, and when nobody heeds that.
func (b *breakerView) state() string {
	if b.Mode == "MetricsOnly" || b.Mode == "Disabled" {
		return b.State + " (" + b.Mode + ")"
	}
	return b.State
}

// cause is what a breaker that is not closed began with.
func (b *breakerView) cause() string {
	if b.State == "closed" || b.Cause == nil {
		return "-"
	}
	s := b.Cause.Reason
	if b.Cause.By != "" {
		s += " by " + b.Cause.By
	}
	if b.Cause.Window.Calls > 0 {
		s += " (" + b.Cause.Window.String() + ")"
	}
	return s + " at " + clockTime(b.Cause.At)
}

func (b *breakerView) forced() string {
	switch {
	case b.Forced == nil:
		return "-"
	case b.Forced.Until == nil:
		return fmt.Sprintf("by %s: %s", b.Forced.By, b.Forced.Reason)
	default:
		return fmt.Sprintf("by %s until %s: %s", b.Forced.By, clockTime(*b.Forced.Until), b.Forced.Reason)
	}
}

// clockTime is how people read an instant: without parts of seconds.
func clockTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// age is how people read how long something has lasted: in its two largest units.
// The clock that it is taken from may be behind by as much as a second.
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
