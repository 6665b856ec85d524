package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"breakwater.dev/api"
)

// Selection says which breakers are wanted, and in which form. The zero value is all, as a table.
type Selection struct {
	api.Query
	Keys []string // empty: all that the query wants
	JSON bool     // everything there is about them, with the fields that this version does not know
}

// String describes the selection in words that can follow "breakers".
func (s Selection) String() string {
	switch {
	case s.State != "" && s.Forced:
		return " that are " + string(s.State) + " and forced"
	case s.State != "":
		return " that are " + string(s.State)
	case s.Forced:
		return " that are forced"
	default:
		return ""
	}
}

// Listing is the breakers of a selection at one instant.
type Listing struct {
	Selection
	api.Answer
	Breakers []api.Breaker
	texts    []json.RawMessage // the same breakers as they came; only where the selection wants JSON
}

// List asks for the breakers of a selection. It is an error when one that is named does not exist.
func List(ctx context.Context, c *api.Client, s Selection) (*Listing, error) {
	l := &Listing{Selection: s}
	if len(s.Keys) == 0 {
		var err error
		l.Answer, err = c.Each(ctx, s.Query, func(item api.Item) error {
			l.add(item)
			return nil
		})
		return l, err
	}
	for _, key := range s.Keys {
		item, answer, err := c.Get(ctx, key)
		if err != nil {
			return nil, Suggest(ctx, c, key, err)
		}
		if answer.By == nil {
			answer.By = l.By
		}
		l.Answer = answer
		if s.Matches(&item.Breaker) {
			l.add(item)
		}
	}
	return l, nil
}

func (l *Listing) add(item api.Item) {
	l.Breakers = append(l.Breakers, item.Breaker)
	if l.JSON {
		l.texts = append(l.texts, item.JSON)
	}
}

// Keys returns the names of all breakers. After an error, these are the names that came before it.
func Keys(ctx context.Context, c *api.Client) ([]string, error) {
	var known []string
	_, err := c.Each(ctx, api.Query{}, func(item api.Item) error {
		known = append(known, item.Key)
		return nil
	})
	return known, err
}

// Write prints the listing in the form that the selection wants.
func (l *Listing) Write(w io.Writer) error {
	if !l.JSON {
		return WriteTable(w, l)
	}
	texts := l.texts
	if texts == nil {
		texts = []json.RawMessage{}
	}
	return WriteJSON(w, struct {
		Breakers   []json.RawMessage `json:"breakers"`
		AnsweredBy *api.Instance     `json:"answered_by,omitempty"`
	}{texts, l.By})
}

// WriteJSON prints v with indentation.
func WriteJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("printing breakers: %w", err)
	}
	return nil
}
