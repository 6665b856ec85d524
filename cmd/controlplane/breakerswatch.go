package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func breakersWatchCommand(p *controlPlane) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "watch [KEY...]",
		Short: "Show changes of breakers as they happen",
		Long: strings.TrimSpace(`
Watch prints the breakers, all or those that are named, and then a line for each
change of state when it happens. When the control plane goes away it says so, and begins
again with the list when it is back. It ends by Ctrl-C, and when nobody reads what it prints any more.

With --output json it prints no list, but the changes alone, an object a line. One with the
field "lost" says how many were left out because the reader was too slow.`),
		Example: "  breakwater breakers watch payments\n  breakwater breakers watch --output json | head -1",
		Args:    keys,
		PreRunE: func(*cobra.Command, []string) error { return oneOf("output", output, "table", "json") },
		RunE: func(c *cobra.Command, keys []string) error {
			cl, err := p.client()
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			signal.Ignore(syscall.SIGPIPE) // who has read enough is noticed by whileRead
			ctx, stop = whileRead(ctx, c.OutOrStdout())
			defer stop()
			w := watcher{
				client: cl, keys: keys, json: output == "json", out: c.OutOrStdout(), messages: c.ErrOrStderr(),
				silence: 30 * time.Second, retry: 250 * time.Millisecond,
			}
			return w.run(ctx)
		},
	}
	outputFlag(c, &output, "table", "table", "json")
	c.ValidArgsFunction = p.completeKeys
	return c
}

// transitionView is one line of /transitions, or what /breakers has of one.
type transitionView struct {
	Key      string     `json:"key"`
	Sequence uint64     `json:"sequence"`
	At       time.Time  `json:"at"`
	From     string     `json:"from"`
	To       string     `json:"to"`
	Reason   string     `json:"reason"`
	Window   windowView `json:"window"`
	Wait     string     `json:"wait"` // only by a rule
	By       string     `json:"by"`   // only by hand, as are note and until
	Note     string     `json:"note"`
	Until    *time.Time `json:"until"`
	Lost     uint64     `json:"lost"` // instead of all others: so many lines were left out
}

// String tells of the transition in one line.
func (t transitionView) String() string {
	s := fmt.Sprintf("%s  %s: %s -> %s, %s", clockTime(t.At), t.Key, t.From, t.To, t.Reason)
	switch {
	case t.By != "" && t.Until != nil:
		return fmt.Sprintf("%s by %s until %s: %s", s, t.By, clockTime(*t.Until), t.Note)
	case t.By != "":
		return fmt.Sprintf("%s by %s: %s", s, t.By, t.Note)
	case t.Window.Calls > 0:
		s += " (" + t.Window.String() + ")"
	}
	if t.Wait != "" {
		s += ", for " + t.Wait
	}
	return s
}

// watcher shows transitions until it is told to end.
type watcher struct {
	client   *client
	keys     []string // empty: all
	json     bool
	out      io.Writer
	messages io.Writer
	silence  time.Duration // a stream that says nothing for so long is dead: there are heartbeats
	retry    time.Duration // between the first attempts to reach the server again

	listed map[string]transitionView // for each key, the last transition that the list knew of
}

// run returns nil when ctx is over, and an error when it cannot begin.
func (w *watcher) run(ctx context.Context) error {
	s, err := w.connect(ctx)
	for err == nil {
		lost := w.follow(s)
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(w.messages, "breakwater: lost the control plane at %s: %v; waiting for it\n", w.client.base, lost)
		if s = w.reconnect(ctx); s == nil {
			break
		}
		fmt.Fprintf(w.messages, "breakwater: the control plane at %s is back\n", w.client.base)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// stream is a connection that transitions come from.
type stream struct {
	ctx   context.Context
	end   context.CancelCauseFunc
	body  io.ReadCloser
	alive *time.Timer
	quiet time.Duration
}

var errSilent = errors.New("it says nothing any more")

// Read puts off the end of the stream whenever something comes, be it a heartbeat.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	s.alive.Reset(s.quiet)
	return n, err
}

func (s *stream) close() {
	s.alive.Stop()
	s.end(nil)
	s.body.Close()
}

// connect opens the stream first and prints the list then, so that nothing is missed
// between the two.
func (w *watcher) connect(ctx context.Context) (*stream, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	slow := time.AfterFunc(w.client.timeout, func() { cancel(context.DeadlineExceeded) })
	r, err := w.client.open(ctx, http.MethodGet, "/transitions", nil)
	slow.Stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = w.client.unreachable(cause)
		}
		cancel(nil)
		return nil, err
	}
	s := &stream{ctx: ctx, end: cancel, body: r.Body, quiet: w.silence}
	s.alive = time.AfterFunc(w.silence, func() { cancel(errSilent) })
	l, err := w.client.list(ctx, selection{keys: w.keys})
	if err == nil {
		err = w.begin(&l)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// begin prints the list, and remembers what it tells of already.
func (w *watcher) begin(l *listing) error {
	w.listed = map[string]transitionView{}
	for _, b := range l.breakers {
		if b.LastTransition != nil {
			w.listed[b.Key] = *b.LastTransition
		}
	}
	if w.json {
		return nil
	}
	return l.writeTable(w.out)
}

// follow prints transitions until the stream ends, and returns why it did.
func (w *watcher) follow(s *stream) error {
	defer s.close()
	d := json.NewDecoder(s)
	for {
		var line json.RawMessage
		if err := d.Decode(&line); err != nil {
			if s.ctx.Err() != nil {
				return context.Cause(s.ctx)
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return errors.New("it ended the connection")
			}
			return err
		}
		var t transitionView
		if err := json.Unmarshal(line, &t); err != nil {
			return fmt.Errorf("reading a transition: %w", err)
		}
		w.show(t, line)
	}
}

func (w *watcher) show(t transitionView, line json.RawMessage) {
	if t.Lost == 0 && (w.known(t) || len(w.keys) > 0 && !slices.Contains(w.keys, t.Key)) {
		return
	}
	switch {
	case w.json:
		fmt.Fprintf(w.out, "%s\n", line)
	case t.Lost > 0:
		fmt.Fprintf(w.out, "%s left out: they came faster than they could be shown\n", plural(int(t.Lost), "change"))
	default:
		fmt.Fprintln(w.out, t)
	}
}

// known tells whether the list has told of t. A breaker that a changed policy starts anew
// counts its transitions from 1 again, so the sequence alone does not say.
func (w *watcher) known(t transitionView) bool {
	last, listed := w.listed[t.Key]
	return listed && t.Sequence <= last.Sequence && !t.At.After(last.At)
}

// reconnect tries until it succeeds or ctx is over; then it returns nil. What kept it from
// succeeding is of no interest: that the control plane is away has been said.
func (w *watcher) reconnect(ctx context.Context) *stream {
	const most = 5 * time.Second
	wait := w.retry
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		if s, err := w.connect(ctx); err == nil {
			return s
		}
		wait = min(2*wait, most)
	}
}
