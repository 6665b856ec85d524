package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"breakwater.dev/api"
)

// Watcher shows the breakers, and then transitions as they happen, until its context is over.
type Watcher struct {
	Client   *api.Client
	Keys     []string // empty: all
	JSON     bool     // the transitions alone, as they come
	Out      io.Writer
	Messages io.Writer     // gets a line when the control plane goes away, and when it is back
	Retry    time.Duration // between the first attempts to reach the control plane again

	listed map[string]*api.Transition // for each key, the last transition that the list knew of
	out    printer
}

// Run returns nil when ctx is over or the reader of a pipe has gone away, and an error when it
// cannot begin, or cannot print.
func (w *Watcher) Run(ctx context.Context) error {
	w.out = printer{to: w.Out}
	err := w.run(ctx)
	switch {
	case ctx.Err() != nil, errors.Is(w.out.err, syscall.EPIPE):
		return nil
	case w.out.err != nil:
		return fmt.Errorf("printing changes: %w", w.out.err)
	default:
		return err
	}
}

// run returns an error when it cannot begin. It ends as well when it cannot print.
func (w *Watcher) run(ctx context.Context) error {
	s, err := w.connect(ctx)
	for err == nil {
		lost := w.follow(s)
		if ctx.Err() != nil || w.out.err != nil {
			break
		}
		fmt.Fprintf(w.Messages, "breakwater: lost the control plane at %s: %v; waiting for it\n", w.Client.Server(), lost)
		if s = w.reconnect(ctx); s == nil {
			break
		}
		fmt.Fprintf(w.Messages, "breakwater: the control plane at %s is back\n", w.Client.Server())
	}
	return err
}

// connect opens the stream first and prints the list then, so that nothing is missed
// between the two.
func (w *Watcher) connect(ctx context.Context) (*api.Stream, error) {
	s, err := w.Client.Follow(ctx)
	if err != nil {
		return nil, err
	}
	l, err := List(ctx, w.Client, Selection{Keys: w.Keys})
	if err == nil {
		err = w.begin(l)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// begin prints the list, and remembers which transitions it knows of.
func (w *Watcher) begin(l *Listing) error {
	w.listed = map[string]*api.Transition{}
	for i := range l.Breakers {
		w.listed[l.Breakers[i].Key] = l.Breakers[i].LastTransition
	}
	if w.JSON {
		return nil
	}
	return l.Write(&w.out)
}

// follow prints transitions until the stream ends, and returns why it did, in words.
func (w *Watcher) follow(s *api.Stream) error {
	defer s.Close()
	for {
		e, err := s.Next()
		switch {
		case errors.Is(err, api.ErrSilent):
			return errors.New("it says nothing any more")
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return errors.New("it ended the connection")
		case err != nil:
			return err
		}
		if w.show(&e, s.JSON()); w.out.err != nil {
			return w.out.err
		}
	}
}

func (w *Watcher) show(e *api.Event, text []byte) {
	if e.Lost == 0 && (w.known(e) || len(w.Keys) > 0 && !slices.Contains(w.Keys, e.Key)) {
		return
	}
	switch {
	case w.JSON:
		fmt.Fprintf(&w.out, "%s\n", text)
	case e.Lost > 0:
		fmt.Fprintf(&w.out, "%s left out: they came faster than they could be shown\n", Plural(int(e.Lost), "change"))
	default:
		fmt.Fprintln(&w.out, transition(e))
	}
}

// known reports whether the list has shown e. The sequence begins again at 1 when a
// changed policy replaces the breaker, so it is not enough.
func (w *Watcher) known(e *api.Event) bool {
	last := w.listed[e.Key]
	return last != nil && e.Sequence <= last.Sequence && !e.At.After(last.At)
}

// reconnect tries until it succeeds. It returns nil when ctx is over, or when it cannot print. It keeps
// to itself why an attempt did not succeed: that the control plane is away has been said.
func (w *Watcher) reconnect(ctx context.Context) *api.Stream {
	const most = 5 * time.Second
	wait := w.Retry
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		s, err := w.connect(ctx)
		if err == nil {
			return s
		}
		if w.out.err != nil {
			return nil
		}
		wait = min(2*wait, most)
	}
}

// transition returns a transition in one line.
func transition(e *api.Event) string {
	s := fmt.Sprintf("%s  %s: %s -> %s, %s", clockTime(e.At), e.Key, e.From, e.To, e.Reason)
	switch {
	case e.By != "" && e.Until != nil:
		return fmt.Sprintf("%s by %s until %s: %s", s, e.By, clockTime(*e.Until), e.Note)
	case e.By != "":
		return fmt.Sprintf("%s by %s: %s", s, e.By, e.Note)
	case e.Window.Calls > 0:
		s += " (" + inWindow(e.Window) + ")"
	}
	if e.Wait != nil {
		s += ", for " + e.Wait.String()
	}
	return s
}
