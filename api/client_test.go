package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answering is a server that gives one answer to whatever it is asked, and notes the last request.
type answering struct {
	status int
	body   string
	asked  string
}

func (a *answering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	a.asked = strings.TrimSpace(fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Header.Get("Authorization"), " ", string(body)))
	w.Header().Set("Date", "Mon, 23 Nov 2026 12:00:00 GMT")
	if a.status == http.StatusFound {
		w.Header().Set("Location", "/elsewhere")
	}
	w.WriteHeader(a.status)
	io.WriteString(w, a.body)
}

// clientOf returns a client of a server that handler is behind.
func clientOf(t testing.TB, handler http.Handler, o Options) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	o.Server, o.Transport = server.URL, transport
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// words returns its arguments with a space between them.
func words(args ...any) string { return strings.TrimSpace(fmt.Sprintln(args...)) }

// TestRequests has, of each method, what it asks and what it makes of the answer.
func TestRequests(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	const list = `{"breakers": [{"key": "a", "state": "open"}, {"key": "b", "state": "closed", "of_tomorrow": 1}], "answered_by": {"instance": "one", "proxies": 3}}`
	const one = `{"key": "a@n/1", "state": "open", "retry_after": "1m30s", "answered_by": {"instance": "one", "proxies": 3}}`
	for _, tt := range []struct {
		name   string
		status int
		body   string
		do     func(*Client) (any, error)
		asked  string
		want   string
	}{
		{"list", 200, list, func(c *Client) (any, error) {
			all, a, err := c.List(t.Context(), Query{})
			return words(len(all), all[1].Key, *a.By, a.At.Equal(noon)), err
		}, "GET /breakers Bearer secret", "2 b {one 3 <nil>} true"},
		{"list of some, by a server that gives all", 200, list, func(c *Client) (any, error) {
			all, _, err := c.List(t.Context(), Query{State: Open})
			return words(len(all), all[0].Key), err
		}, "GET /breakers?state=open Bearer secret", "1 a"},
		{"list of what is forced", 200, list, func(c *Client) (any, error) {
			all, _, err := c.List(t.Context(), Query{State: Open, Forced: true})
			return len(all), err
		}, "GET /breakers?forced=true&state=open Bearer secret", "0"},
		{"get", 200, one, func(c *Client) (any, error) {
			item, a, err := c.Get(t.Context(), "a@n/1")
			return words(item.State, *item.RetryAfter, *a.By, strings.HasPrefix(string(item.JSON), `{"key"`)), err
		}, "GET /breakers/a@n%2F1 Bearer secret", "open 1m30s {one 3 <nil>} true"},
		{"force", 200, one, func(c *Client) (any, error) {
			item, _, err := c.Force(t.Context(), "a", Force{State: Open, By: "me", Reason: "why", For: time.Minute})
			return item.State, err
		}, `POST /breakers/a Bearer secret {"action":"force_open","by":"me","reason":"why","expires_in":"1m0s"}`, "open"},
		{"reset", 200, one, func(c *Client) (any, error) {
			item, _, err := c.Reset(t.Context(), "a", "me", "why")
			return item.State, err
		}, `POST /breakers/a Bearer secret {"action":"reset","by":"me","reason":"why"}`, "open"},
		{"config", 200, `{"version": "v1", "revision": "5f3a", "policy": {"upstreams": []}}`, func(c *Client) (any, error) {
			config, err := c.Config(t.Context())
			return words(config.Version, config.Revision, string(config.Policy)), err
		}, "GET /config Bearer secret", `v1 5f3a {"upstreams": []}`},
		{"services", 200, `{"services": [{"service": "a"}]}`, func(c *Client) (any, error) {
			s, err := c.Services(t.Context())
			return s.Services[0].Service, err
		}, "GET /health/services Bearer secret", "a"},
		{"live", 200, `{"status": "live"}`, func(c *Client) (any, error) { return "", c.Live(t.Context()) }, "GET /health/live Bearer secret", ""},
		{"ready", 200, `{"status": "ready"}`, func(c *Client) (any, error) {
			r, err := c.Ready(t.Context())
			return r.Status, err
		}, "GET /health/ready Bearer secret", "ready"},
		{"not ready", 503, `{"status": "not_ready", "conditions": [{"name": "policy"}]}`, func(c *Client) (any, error) {
			r, err := c.Ready(t.Context())
			return r.Status + " " + r.Conditions[0].Name, err
		}, "GET /health/ready Bearer secret", "not_ready policy"},
		{"dependencies", 503, `{"status": "not_ready", "for": "a b", "open": 2}`, func(c *Client) (any, error) {
			d, err := c.Dependencies(t.Context(), "a b")
			return words(*d.For, d.Open), err
		}, "GET /health/dependencies?for=a+b Bearer secret", "a b 2"},
		{"dependencies of all", 200, `{"status": "ready"}`, func(c *Client) (any, error) {
			d, err := c.Dependencies(t.Context(), "")
			return d.Status, err
		}, "GET /health/dependencies Bearer secret", "ready"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server := &answering{status: tt.status, body: tt.body}
			got, err := tt.do(clientOf(t, server, Options{Token: "secret"}))
			if err != nil || fmt.Sprint(got) != tt.want || server.asked != tt.asked {
				t.Errorf("asked %q, got %q, %v; want %q, %q", server.asked, got, err, tt.asked, tt.want)
			}
		})
	}
}

// TestErrors: the type of an error says what went wrong.
func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		says   string
		kind   func(error) bool
	}{
		{"it says no", 404, `{"error": "there is no breaker \"a\""}`, `there is no breaker "a"`, func(err error) bool {
			var no *StatusError
			return errors.As(err, &no) && no.Status == 404
		}},
		{"another server", 404, "<html>", "not a control plane of Breakwater, or another version: it answered 404 Not Found to GET /breakers/a", isAnswer},
		{"another answer", 200, "<html>", "the answer to GET /breakers/a cannot be read: invalid character", isAnswer},
		{"a field of another kind", 200, `{"key": 1}`, "cannot be read: json: cannot unmarshal number", isAnswer},
		{"a duration that is none", 200, `{"retry_after": "soon"}`, `"soon" is no duration; must be one such as 1m30s`, isAnswer},
		{"cut off", 200, `{"key": "a"`, "ended in the middle of its answer to GET /breakers/a", func(err error) bool {
			return isAnswer(err) && errors.Is(err, io.ErrUnexpectedEOF)
		}},
		{"empty", 200, "", "ended in the middle of its answer", isAnswer},
		{"a redirect", 302, "", "it answered 302 Found", isAnswer},
		{"TLS", 400, "Client sent an HTTP request to an HTTPS server.\n", "it speaks TLS; its URL has to begin with https://", func(err error) bool {
			return isAnswer(err) && errors.Is(err, ErrWantsTLS)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := clientOf(t, &answering{status: tt.status, body: tt.body}, Options{})
			_, _, err := c.Get(t.Context(), "a")
			if err == nil || !strings.Contains(err.Error(), tt.says) || !tt.kind(err) {
				t.Errorf("%T: %v; want %q", err, err, tt.says)
			}
		})
	}
}

func isAnswer(err error) bool {
	var answer *AnswerError
	return errors.As(err, &answer)
}

// TestUnreachable: nothing is there, or it does not answer in time.
func TestUnreachable(t *testing.T) {
	hanging := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	halting := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"key":`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	for name, c := range map[string]*Client{
		"no answer":      clientOf(t, hanging, Options{Timeout: 20 * time.Millisecond}),
		"half an answer": clientOf(t, halting, Options{Timeout: 20 * time.Millisecond}),
	} {
		_, _, err := c.Get(t.Context(), "a")
		var unreachable *UnreachableError
		if !errors.As(err, &unreachable) || !errors.Is(err, context.DeadlineExceeded) || !strings.HasSuffix(err.Error(), ": no answer within 20ms") {
			t.Errorf("%s: %v", name, err)
		}
		if name == "no answer" {
			_, err = c.Follow(t.Context())
			if !errors.As(err, &unreachable) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: stream: %v", name, err)
			}
		}
	}
	c, err := New(Options{Server: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	var unreachable *UnreachableError
	if err := c.Live(t.Context()); !errors.As(err, &unreachable) || !strings.HasPrefix(err.Error(), "cannot reach the control plane at http://127.0.0.1:1: dial tcp") {
		t.Errorf("nothing there: %v", err)
	}
}

// TestHealthThatIsNone: a 503 that is not the page's own answer is an error.
func TestHealthThatIsNone(t *testing.T) {
	for body, want := range map[string]string{
		`{"error": "not now"}`: "not now", "too many requests": "it answered 503 Service Unavailable", "{}": "it answered 503 Service Unavailable",
	} {
		_, err := clientOf(t, &answering{status: 503, body: body}, Options{}).Ready(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// TestEachEnds: an error of the visitor ends the list, and comes back as it is.
func TestEachEnds(t *testing.T) {
	c := clientOf(t, &answering{status: 200, body: `{"breakers": [{"key": "a"}, {"key": "b"}]}`}, Options{})
	enough, n := errors.New("enough"), 0
	_, err := c.Each(t.Context(), Query{}, func(Item) error { n++; return enough })
	if err != enough || n != 1 {
		t.Errorf("%d visits, %v", n, err)
	}
}

// TestKeys: the client asks for no key that cannot be a breaker's name.
func TestKeys(t *testing.T) {
	server := &answering{status: 200, body: `{}`}
	c := clientOf(t, server, Options{})
	for _, key := range []string{"", "/", "payments/", "/charge", "..", "../config", "payments/..", "a/b/c", "@node", "payments@"} {
		if _, _, err := c.Get(t.Context(), key); !errors.Is(err, ErrKey) || server.asked != "" {
			t.Errorf("%q: %v, asked %q", key, err, server.asked)
		}
	}
	for key, want := range map[string]string{
		"payments":               "/breakers/payments",
		"payments/charge":        "/breakers/payments/charge",
		"payments@node-1":        "/breakers/payments@node-1",
		"payments/charge@node-1": "/breakers/payments/charge@node-1",
		"payments@a/b?c#d%e@ü":   "/breakers/payments@a%2Fb%3Fc%23d%25e@%C3%BC",
		"payments@..":            "/breakers/payments@..",
		"pay ments":              "/breakers/pay%20ments",
	} {
		if !ValidKey(key) {
			t.Errorf("%q is not valid", key)
		}
		if got := breakerPath(key); got != want {
			t.Errorf("%q: got %s, want %s", key, got, want)
		}
	}
}

// TestKeyIsRead takes the same way on the other side as the control plane does.
func TestKeyIsRead(t *testing.T) {
	for _, key := range []string{"payments", "payments/charge", "payments/charge@a/b//c/../d?e=f#g%2F@h ü", "payments@..", "payments@."} {
		got := ""
		mux := http.NewServeMux()
		mux.HandleFunc("GET /breakers/{key...}", func(_ http.ResponseWriter, r *http.Request) { got = r.PathValue("key") })
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, breakerPath(key), nil))
		if got != key {
			t.Errorf("%q arrives as %q, status %d", key, got, w.Code)
		}
	}
}

func TestServer(t *testing.T) {
	for server, want := range map[string]string{
		"": "http://127.0.0.1:18080", "breakwater:18080": "http://breakwater:18080", "https://b.example/cp/": "https://b.example/cp", "http://[::1]:1": "http://[::1]:1",
	} {
		if c, err := New(Options{Server: server}); err != nil || c.Server() != want {
			t.Errorf("%q: %v, want %s", server, err, want)
		}
	}
	for _, server := range []string{"ftp://a", "http://", "http://a?b=c", "http://me:secret@a", "http://a b"} {
		if _, err := New(Options{Server: server}); !errors.Is(err, ErrServer) {
			t.Errorf("%q: %v", server, err)
		}
	}
}

// TestPlainToken: the token goes to another host in plain text only where that is said.
func TestPlainToken(t *testing.T) {
	for _, tt := range []struct {
		server       string
		plain, works bool
	}{
		{"http://127.0.0.1:1", false, true}, {"http://127.9.9.9", false, true}, {"http://[::1]:1", false, true}, {"LOCALHOST:1", false, true},
		{"http://10.0.0.1", false, false}, {"http://0.0.0.0", false, false}, {"localhost.example:1", false, false}, {"breakwater:1", false, false},
		{"breakwater:1", true, true}, {"https://breakwater", false, true},
	} {
		_, err := New(Options{Server: tt.server, Token: "secret", PlainToken: tt.plain})
		if works := err == nil; works != tt.works || !works && !errors.Is(err, ErrPlainToken) {
			t.Errorf("%+v: %v", tt, err)
		}
		if _, err := New(Options{Server: tt.server}); err != nil {
			t.Errorf("%s without a token: %v", tt.server, err)
		}
	}
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 30 * time.Second: "30s", time.Minute: "1m", 70 * time.Second: "1m10s", 24 * time.Hour: "24h",
		time.Hour + time.Second: "1h0m1s", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 1500 * time.Microsecond: "2ms",
	} {
		if got := Measured(d).String(); got != want {
			t.Errorf("Measured(%d ns) = %q, want %q", d, got, want)
		}
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 1_999_999, time.FixedZone("CET", 3600))
	if diff := cmp.Diff(Timestamp(at), time.Date(2026, 3, 1, 11, 0, 0, 1_000_000, time.UTC)); diff != "" {
		t.Errorf("timestamp: %s", diff)
	}
}
