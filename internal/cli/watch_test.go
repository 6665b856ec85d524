package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/tools/txtar"

	"breakwater.dev/api"
	"breakwater.dev/internal/golden"
)

// noon is the time at every control plane here.
const noon = "Mon, 23 Nov 2026 12:00:00 GMT"

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

// TestWatch shows each case's lists and streams, in the order of the case, until there are none left.
func TestWatch(t *testing.T) {
	golden.Run(t, "testdata/watch/*.txtar", func(t *testing.T, in []txtar.File) map[string]string {
		ctx, cancel := context.WithCancel(t.Context())
		c := &comings{end: cancel}
		w, o := Watcher{Retry: time.Millisecond}, api.Options{Timeout: time.Minute, Silence: time.Minute}
		for _, f := range in {
			switch f.Name {
			case "list":
				c.lists = append(c.lists, string(f.Data))
			case "stream":
				c.streams = append(c.streams, string(f.Data))
			case "keys":
				w.Keys = strings.Fields(string(f.Data))
			case "json":
				w.JSON = true
			case "short of patience":
				o.Silence = 50 * time.Millisecond
			default:
				t.Fatalf("what is %q?", f.Name)
			}
		}
		server := httptest.NewServer(c)
		t.Cleanup(server.Close)
		o.Server = server.URL
		var err error
		if w.Client, err = api.New(o); err != nil {
			t.Fatal(err)
		}
		var out, messages strings.Builder
		w.Out, w.Messages = &out, &messages
		if err := w.Run(ctx); err != nil {
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

// TestWatchEnds while it waits for a control plane that does not come back.
func TestWatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		attempts := 0
		client, err := api.New(api.Options{Timeout: time.Second, Transport: transport(func(*http.Request) (*http.Response, error) {
			attempts++
			return nil, errors.New("refused")
		})})
		if err != nil {
			t.Fatal(err)
		}
		w := &Watcher{Retry: time.Second, Client: client}
		ended := make(chan *api.Stream)
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

// fails takes some writes, and none after them.
type fails struct {
	after int
	err   error
}

func (f *fails) Write(text []byte) (int, error) {
	if f.after == 0 {
		return 0, f.err
	}
	f.after--
	return len(text), nil
}

// TestWatchCannotPrint: whatever it prints when its output fails, in the list, a change, or the list of
// a control plane that is back, it ends; with an error unless its reader has had enough.
func TestWatchCannotPrint(t *testing.T) {
	const list = `{"breakers": [{"key": "stock", "state": "closed"}]}`
	const change = `{"key": "stock", "sequence": 1, "from": "closed", "to": "open"}` + "\n"
	for _, json := range []bool{false, true} {
		for after := range 4 {
			for failure, want := range map[error]string{syscall.EPIPE: "", syscall.ENOSPC: "no space left on device"} {
				c := &comings{lists: []string{list, list}, streams: []string{change + "\n", strings.Repeat(change, 5) + "hang\n"}}
				server := httptest.NewServer(c)
				client, err := api.New(api.Options{Server: server.URL, Timeout: time.Minute, Silence: time.Minute})
				if err != nil {
					t.Fatal(err)
				}
				w := Watcher{Client: client, Retry: time.Millisecond, JSON: json, Out: &fails{after, failure}, Messages: io.Discard}
				got := ""
				if err := w.Run(t.Context()); err != nil {
					got = err.Error()
				}
				if !strings.HasSuffix(got, want) || (got == "") != (want == "") {
					t.Errorf("json %t, after %d writes: %v gave %q, want %q", json, after, failure, got, want)
				}
				server.CloseClientConnections()
				server.Close()
			}
		}
	}
}

// transport answers requests.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
