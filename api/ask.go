package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Query says which breakers are wanted. The zero value is all.
type Query struct {
	State  State // "": any
	Forced bool  // only those that are held in their state by hand or by their policy
}

func (q Query) path() string {
	query := url.Values{}
	if q.State != "" {
		query.Set("state", string(q.State))
	}
	if q.Forced {
		query.Set("forced", "true")
	}
	if len(query) == 0 {
		return "/breakers"
	}
	return "/breakers?" + query.Encode()
}

// Matches reports whether b is one of those that are wanted.
func (q Query) Matches(b *Breaker) bool {
	return (q.State == "" || q.State == b.State) && (!q.Forced || b.Forced != nil)
}

// Item is one breaker of an answer.
type Item struct {
	Breaker
	// JSON is the text that it was read from, with the fields that this version does not know.
	JSON json.RawMessage
}

// Answer says who answered, and when.
type Answer struct {
	By *Instance // nil: a control plane of an older version
	At time.Time // by the clock of the server, to the second; by our own where the server does not say
}

// Each calls visit for every breaker that q wants, in the order of the server and as the breakers arrive: all of
// them together can be some hundred megabytes. An error of visit ends it, and is returned as it is.
func (c *Client) Each(ctx context.Context, q Query, visit func(Item) error) (a Answer, err error) {
	a.At, err = c.ask(ctx, request{method: http.MethodGet, path: q.path()}, func(r *http.Response) error {
		a.By, err = readList(json.NewDecoder(r.Body), func(item Item) error {
			if !q.Matches(&item.Breaker) { // an older control plane may not know the query
				return nil
			}
			if err := visit(item); err != nil {
				return verdict{err}
			}
			return nil
		})
		return err
	})
	return a, err
}

// List returns the breakers that q wants, in the order of the server.
func (c *Client) List(ctx context.Context, q Query) ([]Breaker, Answer, error) {
	var all []Breaker
	a, err := c.Each(ctx, q, func(item Item) error {
		all = append(all, item.Breaker)
		return nil
	})
	if err != nil {
		return nil, a, err
	}
	return all, a, nil
}

// Get returns one breaker. The error is a [*StatusError] with the status 404 where there is none of this name.
func (c *Client) Get(ctx context.Context, key string) (Item, Answer, error) {
	return c.one(ctx, key, request{method: http.MethodGet})
}

// Force is a state that an operator puts a breaker into.
type Force struct {
	State State // [Open] or [Closed]
	// By and Reason are who does it and why, each in 1 to 200 printable characters. They are in the log of the control plane.
	By, Reason string
	For        time.Duration // above 0, at most 168 h
}

// Force holds a breaker in a state for a time, and returns the breaker as it is then. It needs the admin token.
func (c *Client) Force(ctx context.Context, key string, f Force) (Item, Answer, error) {
	lasts := f.For.String()
	return c.change(ctx, key, Change{Action: Action("force_" + f.State), By: f.By, Reason: f.Reason, ExpiresIn: &lasts})
}

// Reset closes a breaker, forgets its calls and ends what was forced, and returns the breaker as it is then. It
// needs the admin token. by and reason are as in [Force].
func (c *Client) Reset(ctx context.Context, key, by, reason string) (Item, Answer, error) {
	return c.change(ctx, key, Change{Action: Reset, By: by, Reason: reason})
}

func (c *Client) change(ctx context.Context, key string, change Change) (Item, Answer, error) {
	return c.one(ctx, key, request{method: http.MethodPost, body: change})
}

// one asks about one breaker.
func (c *Client) one(ctx context.Context, key string, q request) (item Item, a Answer, err error) {
	if !ValidKey(key) {
		return item, a, fmt.Errorf("key = %q: %w", key, ErrKey)
	}
	q.path = breakerPath(key)
	a.At, err = c.ask(ctx, q, func(r *http.Response) error {
		item, a.By, err = readOne(json.NewDecoder(r.Body))
		return err
	})
	return item, a, err
}

// Config returns which policy is in force, and what each proxy took or refused of it.
func (c *Client) Config(ctx context.Context) (Config, error) {
	var config Config
	err := c.value(ctx, "/config", &config)
	return config, err
}

// Services returns how well each service does.
func (c *Client) Services(ctx context.Context) (Services, error) {
	var services Services
	err := c.value(ctx, "/health/services", &services)
	return services, err
}

// Live returns nil where the control plane runs.
func (c *Client) Live(ctx context.Context) error {
	return c.value(ctx, "/health/live", &Live{})
}

// Ready returns whether the control plane can serve. It is no error that it cannot.
func (c *Client) Ready(ctx context.Context) (Ready, error) {
	var ready Ready
	err := c.health(ctx, "/health/ready", &ready, &ready.Status)
	return ready, err
}

// Dependencies returns how many breakers are open among the upstreams that workload calls; "": among all. It is no error that
// too many are open.
func (c *Client) Dependencies(ctx context.Context, workload string) (Dependencies, error) {
	path := "/health/dependencies"
	if workload != "" {
		path += "?for=" + url.QueryEscape(workload)
	}
	var d Dependencies
	err := c.health(ctx, path, &d, &d.Status)
	return d, err
}

// value reads an answer into v.
func (c *Client) value(ctx context.Context, path string, v any) error {
	_, err := c.ask(ctx, request{method: http.MethodGet, path: path}, func(r *http.Response) error {
		return json.NewDecoder(r.Body).Decode(v)
	})
	return err
}

// health reads an answer into v whose status may be 503. word is the field of v with the word for the status. A 503
// without that word comes from another server, or from another part of the control plane.
func (c *Client) health(ctx context.Context, path string, v any, word *string) error {
	q := request{method: http.MethodGet, path: path, also: http.StatusServiceUnavailable}
	_, err := c.ask(ctx, q, func(r *http.Response) error {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		err = json.Unmarshal(text, v)
		if r.StatusCode != http.StatusOK && (err != nil || *word == "") {
			return verdict{c.refused(&q, r, text)}
		}
		return err
	})
	return err
}
