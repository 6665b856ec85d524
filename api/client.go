package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The values of options that are zero.
const (
	DefaultServer  = "http://127.0.0.1:18080"
	DefaultTimeout = 5 * time.Second
	DefaultSilence = 30 * time.Second
)

// Options say where a control plane is, and how to speak with it. The zero value is one in plain text on this host.
type Options struct {
	// Server is the URL or host:port of its --http-listen; "": [DefaultServer].
	Server string
	// CAFile is a PEM file with the CA of its certificate; "": the system's CAs. It is read once.
	CAFile string
	// ServerName is the name that has to be in its certificate; "": the host of Server.
	ServerName string
	// Token is the admin token, which changes by hand need; "": there is none.
	Token string
	// PlainToken allows the token to be sent to another host in plain text, where others can read it.
	PlainToken bool
	// Timeout is how long each answer may take; 0: [DefaultTimeout]. A [Stream] has to begin within that time.
	Timeout time.Duration
	// Silence is how long a [Stream] may say nothing, not even a heartbeat; 0: [DefaultSilence].
	Silence time.Duration
	// UserAgent is the User-Agent header of requests; "": breakwater-client.
	UserAgent string
	// Transport makes the requests; nil: one of the client's own, by CAFile and ServerName.
	Transport http.RoundTripper
}

// Client asks one control plane over HTTP. It never follows a redirect, which would take the token along.
// Methods return an [*UnreachableError] where there was no answer, an [*AnswerError] where the answer
// is not one of a control plane, and a [*StatusError] where the control plane says no.
type Client struct {
	options Options
	base    string // URL, without a slash at its end
	http    http.Client
}

// New returns a client. The control plane is not asked, and need not be there yet. The error is or wraps [ErrServer]
// or [ErrPlainToken], or says why CAFile cannot be used.
func New(o Options) (*Client, error) {
	base, err := parseServer(o.Server)
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Silence <= 0 {
		o.Silence = DefaultSilence
	}
	if o.UserAgent == "" {
		o.UserAgent = "breakwater-client"
	}
	c := &Client{options: o, base: strings.TrimRight(base.String(), "/")}
	if o.Token != "" && base.Scheme == "http" && !loopback(base.Hostname()) && !o.PlainToken {
		return nil, fmt.Errorf("%s: %w", c.base, ErrPlainToken)
	}
	if c.http.Transport = o.Transport; o.Transport == nil {
		if c.http.Transport, err = transport(&o); err != nil {
			return nil, err
		}
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// Server returns the URL of the control plane, without a slash at its end.
func (c *Client) Server() string { return c.base }

// request is a request to the control plane.
type request struct {
	method, path string
	body         any // sent as JSON; nil: there is none
	// also is a status beside 200 whose answer is no error; 0: there is none.
	also int
}

func (q *request) String() string { return q.method + " " + q.path }

// verdict is an error of a reader that is not about reading: it is returned as it is.
type verdict struct{ error }

// ask sends q and has read take the answer. It returns what time it is at the server.
func (c *Client) ask(ctx context.Context, q request, read func(*http.Response) error) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	r, err := c.send(ctx, &q)
	if err != nil {
		return time.Time{}, err
	}
	defer r.Body.Close()
	if err := read(r); err != nil {
		var v verdict
		switch {
		case errors.As(err, &v):
			return time.Time{}, v.error
		case ctx.Err() != nil:
			return time.Time{}, c.unreachable(ctx.Err())
		}
		return time.Time{}, c.unreadable(&q, err)
	}
	now, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return now, nil
}

// send sends q and returns the answer if its status is one that q wants. The caller closes its body.
func (c *Client) send(ctx context.Context, q *request) (*http.Response, error) {
	var content io.Reader
	if q.body != nil {
		data, err := json.Marshal(q.body)
		if err != nil {
			return nil, fmt.Errorf("writing the request as JSON: %w", err)
		}
		content = bytes.NewReader(data)
	}
	r, err := http.NewRequestWithContext(ctx, q.method, c.base+q.path, content)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	r.Header.Set("User-Agent", c.options.UserAgent)
	if q.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.options.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.options.Token)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if answer.StatusCode == http.StatusOK || answer.StatusCode == q.also {
		return answer, nil
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxProblem))
	if err != nil {
		return nil, c.unreachable(err)
	}
	return nil, c.refused(q, answer, text)
}

// maxProblem is how many bytes of an answer that says no are read.
const maxProblem = 64 << 10

// refused reads why the control plane says no.
func (c *Client) refused(q *request, answer *http.Response, text []byte) error {
	if bytes.Contains(text, []byte("HTTP request to an HTTPS server")) { // the words of net/http
		return &AnswerError{Server: c.base, Request: q.String(), Status: answer.Status, Err: ErrWantsTLS}
	}
	var p Problem
	if json.Unmarshal(text, &p) != nil || p.Error == "" {
		return &AnswerError{Server: c.base, Request: q.String(), Status: answer.Status}
	}
	return &StatusError{Status: answer.StatusCode, Message: p.Error}
}

// unreachable says why there is no answer.
func (c *Client) unreachable(err error) error {
	var transport *url.Error
	if errors.As(err, &transport) {
		err = transport.Err // it names the URL, which we do ourselves
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = lateError{c.options.Timeout}
	}
	return &UnreachableError{Server: c.base, Err: err}
}

// unreadable says what is wrong with an answer.
func (c *Client) unreadable(q *request, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return &AnswerError{Server: c.base, Request: q.String(), Err: err}
}
