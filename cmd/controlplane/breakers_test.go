package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"breakwater.dev/internal/golden"
)

// fake is a control plane with answers from a file, for each "METHOD URI": a line
// with the status, and the body.
type fake struct {
	*httptest.Server
	answers map[string]string

	mu       sync.Mutex
	requests strings.Builder
}

// noon is the time at every fake.
const noon = "Mon, 23 Nov 2026 12:00:00 GMT"

func newFake(t *testing.T, answers map[string]string) *fake {
	t.Helper()
	f := &fake{answers: answers}
	f.Server = httptest.NewServer(f)
	f.Config.Handler = f
	t.Cleanup(f.Close)
	return f
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	f.mu.Lock()
	fmt.Fprintf(&f.requests, "%s %s\n", r.Method, r.RequestURI)
	for _, name := range []string{"Authorization", "Content-Type"} {
		if r.Header.Get(name) != "" {
			fmt.Fprintf(&f.requests, "%s: %s\n", name, r.Header.Get(name))
		}
	}
	if len(body) > 0 {
		fmt.Fprintf(&f.requests, "%s\n", body)
	}
	f.mu.Unlock()
	answer, ok := f.answers[r.Method+" "+r.RequestURI]
	if !ok {
		answer = fmt.Sprintf(`404
{"error": "there is no breaker \"%s\""}`, strings.TrimPrefix(r.URL.Path, "/breakers/"))
	}
	first, text, _ := strings.Cut(answer, "\n")
	if first == "hang" {
		<-r.Context().Done()
		return
	}
	words := strings.Fields(first)
	if len(words) > 1 {
		w.Header().Set("Location", words[1])
	}
	status, err := strconv.Atoi(words[0])
	if err != nil {
		panic(err)
	}
	w.Header().Set("Date", noon)
	w.WriteHeader(status)
	io.WriteString(w, text)
}

func (f *fake) asked() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests.String()
}

// noEnvironment keeps a test from what the machine's own says.
func noEnvironment(t *testing.T) {
	t.Helper()
	for _, name := range []string{serverEnv, tokenEnv, caFileEnv, tlsNameEnv} {
		t.Setenv(name, "")
	}
}

// TestBreakers runs each case's args, one a line, against a fake control plane whose
// answers are in the case as well. Files of the case named tmp/NAME are in $TMP.
func TestBreakers(t *testing.T) {
	golden.Run(t, "testdata/breakers/*.txtar", func(t *testing.T, in []txtar.File) map[string]string {
		noEnvironment(t)
		dir, answers := t.TempDir(), map[string]string{}
		var args []string
		for _, file := range in {
			text := string(file.Data)
			name, temporary := strings.CutPrefix(file.Name, "tmp/")
			switch {
			case file.Name == "args":
				args = strings.Split(strings.TrimSuffix(strings.ReplaceAll(text, "$TMP", dir), "\n"), "\n")
			case file.Name == "env":
				for line := range strings.Lines(text) {
					name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
					t.Setenv(name, value)
				}
			case temporary:
				if err := os.WriteFile(filepath.Join(dir, name), file.Data, 0o600); err != nil {
					t.Fatal(err)
				}
			default:
				answers[file.Name] = text
			}
		}
		f := newFake(t, answers)
		if !slices.Contains(args, "--server") && os.Getenv(serverEnv) == "" {
			t.Setenv(serverEnv, f.URL)
		}
		var stdout, stderr strings.Builder
		code := run(args, &stdout, &stderr)
		clean := strings.NewReplacer(f.URL, "http://SERVER", dir, "$TMP")
		got := map[string]string{
			"code": strconv.Itoa(code), "stdout": clean.Replace(stdout.String()),
			"stderr": clean.Replace(stderr.String()), "requests": f.asked(),
		}
		for name, text := range got {
			if text == "" {
				delete(got, name)
			}
		}
		return got
	})
}

// TestBreakersJSON holds what is printed against what the server has: nothing is lost.
func TestBreakersJSON(t *testing.T) {
	noEnvironment(t)
	const page = `{"breakers":[{"key":"payments","state":"open","of_tomorrow":{"a":[1,2.50,"<&>"]}},{"key":"stock","state":"closed"}]}`
	f := newFake(t, map[string]string{"GET /breakers": "200\n" + page, "POST /breakers/stock": "200\n" + `{"key":"stock","x":1e400}`})
	compact := func(args ...string) string {
		t.Helper()
		var stdout, stderr, line bytes.Buffer
		if code := run(append(args, "--server", f.URL+"/", "--output", "json"), &stdout, &stderr); code != 0 {
			t.Fatalf("exit code %d: %s", code, &stderr)
		}
		if err := json.Compact(&line, stdout.Bytes()); err != nil {
			t.Fatalf("%v:\n%s", err, &stdout)
		}
		return line.String()
	}
	if got := compact("breakers", "list"); got != page {
		t.Errorf("list: got  %s\nwant %s", got, page)
	}
	if got, want := compact("breakers", "reset", "stock", "--reason", "x"), `{"key":"stock","x":1e400}`; got != want {
		t.Errorf("reset: got %s, want %s", got, want)
	}
}

// TestByDefault: without --by the change is made in the name of the user that runs the command.
func TestByDefault(t *testing.T) {
	noEnvironment(t)
	f := newFake(t, map[string]string{"POST /breakers/stock": "200\n" + `{"key":"stock","state":"closed"}`})
	var stdout, stderr strings.Builder
	if code := run([]string{"breakers", "reset", "stock", "--reason", "x", "--server", f.URL}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	name, host, found := strings.Cut(whoami(), "@")
	if !found || name == "" || host == "" {
		t.Errorf("whoami = %q, want USER@HOST", whoami())
	}
	if want := fmt.Sprintf("%q:%q", "by", whoami()); !strings.Contains(f.asked(), want) {
		t.Errorf("got %s, want %s in it", f.asked(), want)
	}
}

// TestBreakerCompletion asks as a shell does. The last line says what the shell is not to
// offer besides: 4 is no names of files. Where a flag has to be given, that is offered too.
func TestBreakerCompletion(t *testing.T) {
	noEnvironment(t)
	f := newFake(t, map[string]string{"GET /breakers": "200\n" +
		`{"breakers":[{"key":"payments"},{"key":"payments/charge"},{"key":"payments@shop-1"},{"key":"stock"}]}`})
	slow := newFake(t, map[string]string{"GET /breakers": "hang"})
	const flagFor, flagReason = "--for\thow long: a `duration` such as 10m, 1h30m or 1d, at most 7d\n", "--reason\twhy, as a `text` for the log and for others who look\n"
	for _, c := range []struct{ args, want string }{
		{"list ", "payments\npayments/charge\npayments@shop-1\nstock\n:4\n"},
		{"list pay", "payments\npayments/charge\npayments@shop-1\n:4\n"},
		{"list payments pay", "payments/charge\npayments@shop-1\n:4\n"},
		{"watch st", "stock\n:4\n"},
		{"force payments@", "payments@shop-1\n:4\n"},
		{"force payments ", flagFor + flagReason + "open\nclosed\n:4\n"},
		{"force payments open ", flagFor + flagReason + ":4\n"},
		{"reset s", "stock\n:4\n"},
		{"reset stock ", flagReason + ":4\n"},
		{"list --state ", "closed\nhalf_open\nopen\n:4\n"},
		{"list --output ", "table\njson\n:4\n"},
		{"force --output ", "table\njson\n:4\n"},
		{"list --server http://127.0.0.1:1 ", ":4\n"},
		{"list --server nonsense ", ":4\n"},
		{"list --timeout 20ms --server " + slow.URL + " ", ":4\n"},
	} {
		args := append([]string{"__complete", "breakers"}, strings.Split(c.args, " ")...)
		t.Setenv(serverEnv, f.URL)
		var stdout, stderr strings.Builder
		if code := run(args, &stdout, &stderr); code != 0 || stdout.String() != c.want {
			t.Errorf("%q: exit code %d, got %q, want %q", c.args, code, &stdout, c.want)
		}
		if strings.Contains(stderr.String(), "cannot") {
			t.Errorf("%q: it tells about it in the middle of a line: %s", c.args, &stderr)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, key := range []string{"payments", "payments/charge@node-1", "payments@a/b?c#d%e@ü"} {
		if err := checkKey(key); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	for _, key := range []string{"", "payments/", "..", "../config", "a/b/c", "@node", "payments@"} {
		if err := checkKey(key); err == nil || !strings.Contains(err.Error(), "SERVICE/ROUTE") {
			t.Errorf("%q: %v, want an error that says what a key is", key, err)
		}
	}
}

// watched is a control plane with one breaker, whose first transition comes at once.
func watched(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", noon)
	if r.RequestURI != "/transitions" {
		io.WriteString(w, `{"breakers": [{"key": "stock", "state": "closed", "since": "2026-11-23T11:00:00Z"}]}`)
		return
	}
	io.WriteString(w, `{"key": "stock", "sequence": 1, "from": "closed", "to": "open"}`+"\n")
	w.(http.Flusher).Flush()
	<-r.Context().Done()
}

// TestWatchEndsWithItsReader: a pipe into head ends at once, and not at the next change.
func TestWatchEndsWithItsReader(t *testing.T) {
	noEnvironment(t)
	for _, format := range []string{"table", "json"} {
		server := httptest.NewServer(http.HandlerFunc(watched))
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
