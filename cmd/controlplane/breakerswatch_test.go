package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"

	"breakwater.dev/internal/golden"
)

// comings is a control plane that comes and goes: each time it has a list, and a stream
// that ends or, where its text ends with "hang", goes silent.
type comings struct {
	lists, streams []string
	end            func() // called when it is asked for one more stream
	connections    int
}

func (c *comings) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", noon)
	switch r.RequestURI {
	case "/transitions":
		if c.connections == len(c.streams) {
			c.end()
			<-r.Context().Done()
			return
		}
		text, silent := strings.CutSuffix(c.streams[c.connections], "hang\n")
		c.connections++
		if text == "away\n" {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, strings.TrimSuffix(text, "\n")) // so that it can end within a line
		w.(http.Flusher).Flush()
		if silent {
			<-r.Context().Done()
		}
	case "/breakers":
		io.WriteString(w, c.lists[c.connections-1])
	default:
		fmt.Fprintf(w, `{"key": %q, "state": "closed", "since": "2026-11-23T11:00:00Z"}`, strings.TrimPrefix(r.RequestURI, "/breakers/"))
	}
}

// TestWatch shows each case's lists and streams, in the order of the case, until there is no more.
func TestWatch(t *testing.T) {
	golden.Run(t, "testdata/watch/*.txtar", func(t *testing.T, in []txtar.File) map[string]string {
		noEnvironment(t)
		ctx, cancel := context.WithCancel(t.Context())
		c := &comings{end: cancel}
		w := watcher{silence: time.Minute, retry: time.Millisecond}
		for _, f := range in {
			switch f.Name {
			case "list":
				c.lists = append(c.lists, string(f.Data))
			case "stream":
				c.streams = append(c.streams, string(f.Data))
			case "keys":
				w.keys = strings.Fields(string(f.Data))
			case "json":
				w.json = true
			case "short of patience":
				w.silence = 50 * time.Millisecond
			default:
				t.Fatalf("what is %q?", f.Name)
			}
		}
		server := httptest.NewServer(c)
		t.Cleanup(server.Close)
		var err error
		if w.client, err = (&controlPlane{server: server.URL, timeout: time.Minute}).client(); err != nil {
			t.Fatal(err)
		}
		var out, messages strings.Builder
		w.out, w.messages = &out, &messages
		if err := w.run(ctx); err != nil {
			t.Errorf("it ended with %v, want nil", err)
		}
		cancel()
		got := map[string]string{"out": out.String()}
		if messages.Len() > 0 {
			got["messages"] = strings.ReplaceAll(messages.String(), server.URL, "http://SERVER")
		}
		return got
	})
}

// TestWatchHeartbeats: a stream lives as long as it gives a sign of life, and no longer.
func TestWatchHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancelCause(t.Context())
		body, server := io.Pipe()
		context.AfterFunc(ctx, func() { server.CloseWithError(context.Canceled) })
		s := &stream{ctx: ctx, end: end, body: body, quiet: 30 * time.Second}
		s.alive = time.AfterFunc(s.quiet, func() { end(errSilent) })
		go func() {
			for range 60 {
				time.Sleep(10 * time.Second)
				io.WriteString(server, "\n")
			}
			io.WriteString(server, `{"key": "payments", "sequence": 1, "at": "2026-11-23T12:00:00Z", "from": "closed", "to": "open", "reason": "failure_rate"}`+"\n")
		}()
		var out strings.Builder
		start := time.Now()
		err := (&watcher{out: &out}).follow(s)
		if !errors.Is(err, errSilent) {
			t.Errorf("it ended with %v, want %v", err, errSilent)
		}
		if got, want := time.Since(start), 630*time.Second; got != want {
			t.Errorf("it ended after %s, want %s", got, want)
		}
		if got, want := out.String(), "2026-11-23T12:00:00Z  payments: closed -> open, failure_rate\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestWatchEnds while it waits for a control plane that does not come back.
func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		attempts := 0
		refuse := func(*http.Request) (*http.Response, error) {
			attempts++
			return nil, errors.New("refused")
		}
		w := &watcher{retry: time.Second, client: &client{base: "http://x", timeout: time.Second, http: http.Client{Transport: transport(refuse)}}}
		ended := make(chan *stream)
		go func() { ended <- w.reconnect(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := 13; attempts != want { // after 1, 3 and 7 s, and then each 5 s
			t.Errorf("%d attempts in a minute, want %d", attempts, want)
		}
		cancel()
		if s := <-ended; s != nil {
			t.Errorf("got a stream")
		}
	})
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestWatchEndsWithItsReader: who pipes it into head is not kept waiting for the next change.
func TestWatchEndsWithItsReader(t *testing.T) {
	noEnvironment(t)
	for _, format := range []string{"table", "json"} {
		server := httptest.NewServer(&comings{
			lists:   []string{`{"breakers": [{"key": "stock", "state": "closed", "since": "2026-11-23T11:00:00Z"}]}`},
			streams: []string{`{"key": "stock", "sequence": 1, "from": "closed", "to": "open"}` + "\nhang\n"},
			end:     func() { t.Error("it came back") },
		})
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan string, 1)
		go func() {
			var stderr strings.Builder
			code := run([]string{"breakers", "watch", "--server", server.URL, "--output", format}, w, &stderr)
			ended <- fmt.Sprint(code, stderr.String())
		}()
		if _, err := bufio.NewReader(r).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		r.Close()
		select {
		case got := <-ended:
			if got != "0" {
				t.Errorf("%s: it ended with %s, want 0 and no word", format, got)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: it goes on though nobody reads", format)
		}
		w.Close()
		server.Close()
	}
}
