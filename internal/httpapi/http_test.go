package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"breakwater.dev/internal/golden"
	"breakwater.dev/internal/typical"
)

// TestHTTP asks a situation what a file says, one request a line, and compares
// whole answers. A word after the request keeps only the lines that have it.
func TestHTTP(t *testing.T) {
	golden.Run(t, "testdata/http/*.txtar", func(t *testing.T, in []txtar.File) map[string]string {
		out := map[string]string{}
		for _, f := range in {
			situation := situations[f.Name]
			if situation == nil {
				t.Fatalf("there is no situation %q", f.Name)
			}
			handler := situation().Handler()
			for line := range strings.Lines(string(f.Data)) {
				fields := append(strings.Fields(line), "")
				if len(fields) < 3 {
					t.Fatalf("request %q; must be a method and a path", line)
				}
				got := answer(t, handler, fields[0], fields[1])
				out[f.Name+": "+strings.TrimSpace(line)] = only(got, fields[2])
			}
		}
		return out
	})
}

// only returns the lines of text that have word.
func only(text, word string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// answer makes a request over a real connection and prints what came back.
func answer(t *testing.T, handler http.Handler, method, path string) string {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintln(&b, response.Status)
	for _, name := range []string{"Allow", "Cache-Control", "Content-Security-Policy", "Content-Type", "WWW-Authenticate", "X-Content-Type-Options"} {
		if v := response.Header.Get(name); v != "" {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
	}
	fmt.Fprintf(&b, "\n%s", ownMetrics.ReplaceAll(body, nil))
	return b.String()
}

// ownMetrics matches lines about this very process, which differ at each run.
var ownMetrics = regexp.MustCompile(`(?m)^(# (HELP|TYPE) )?(go|process)_.*\n`)

func TestServerHasLimits(t *testing.T) {
	s := NewServer(http.NotFoundHandler())
	if s.Handler == nil || s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Errorf("server = %+v; must have its handler and every limit", s)
	}
}

// TestNotJSON: the client gets an error, and not half an answer, where a value cannot be written.
func TestNotJSON(t *testing.T) {
	handler := (&mesh{set: typical.Policy(), view: func() {}}).api().Handler()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/config", nil))
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "unsupported type: func()") {
		t.Errorf("answer = %d %q; must be 500 with the reason", w.Code, w.Body)
	}
}

// TestIndexLinks: every link of the index page leads somewhere.
func TestIndexLinks(t *testing.T) {
	handler := typicalMesh().api().Handler()
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	links := regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(w.Body.String(), -1)
	if len(links) != 8 {
		t.Fatalf("index page has %d links; must be 8:\n%s", len(links), w.Body)
	}
	for _, l := range links {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, l[1], nil))
		if w.Code != http.StatusOK {
			t.Errorf("GET %s = %d; must be 200", l[1], w.Code)
		}
	}
}
