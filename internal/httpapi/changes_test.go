package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"breakwater.dev/internal/golden"
)

const token = "correct horse"

// byHand is one attempt to change a breaker.
type byHand struct {
	name, key, body string
	// authorization and contentType are "" for the headers of a right request.
	authorization, contentType string
}

// attempts are made one after another; a line of the golden file has what came of each.
var attempts = []byHand{
	{name: "force open", key: "payments/charge", body: `{"action":"force_open","by":"alice","reason":"a drill","expires_in":"10m"}`},
	{name: "force closed", key: "stock/list@shop-2", body: `{"action":"force_closed","by":"alice","reason":"a drill","expires_in":"168h"}`},
	{name: "reset", key: "search", body: `{"action":"reset","by":"Zoë","reason":"it is over"}`},
	{name: "charset", key: "search", contentType: "application/json; charset=utf-8", body: `{"action":"reset","by":"a","reason":"b"}`},
	{name: "scheme in lower case", key: "search", authorization: "bearer " + token, body: `{"action":"reset","by":"a","reason":"b"}`},

	{name: "no token", key: "search", authorization: "none", body: `{}`},
	{name: "wrong token", key: "search", authorization: "Bearer wrong horse", body: `{}`},
	{name: "beginning of the token", key: "search", authorization: "Bearer correct", body: `{}`},
	{name: "other scheme", key: "search", authorization: "Basic " + token, body: `{}`},
	{name: "wrong token and no such breaker", key: "nothing", authorization: "Bearer wrong", body: `not even JSON`},

	{name: "no such breaker", key: "nothing", body: `{"action":"reset","by":"a","reason":"b"}`},
	{name: "no such name", key: "payments/", body: `{"action":"reset","by":"a","reason":"b"}`},
	{name: "engine fails", key: "broken", body: `{"action":"reset","by":"a","reason":"b"}`},
	{name: "form", key: "search", contentType: "application/x-www-form-urlencoded", body: `action=reset`},
	{name: "no type", key: "search", contentType: "none", body: `{}`},
	{name: "too large", key: "search", body: `{"by":"` + strings.Repeat("a", 16<<10) + `"}`},
	{name: "just not too large", key: "search", body: `{"action":"reset","by":"a","reason":"b"}` + strings.Repeat(" ", 16<<10-40)},
	{name: "empty", key: "search", body: ``},
	{name: "null", key: "search", body: `null`},
	{name: "list", key: "search", body: `[]`},
	{name: "cut off", key: "search", body: `{"action":"reset"`},
	{name: "two objects", key: "search", body: `{"action":"reset","by":"a","reason":"b"}{}`},
	{name: "unknown field", key: "search", body: `{"action":"reset","by":"a","reason":"b","state":"open"}`},
	{name: "wrong kind", key: "search", body: `{"action":"force_open","by":"a","reason":"b","expires_in":600}`},
	{name: "no action", key: "search", body: `{"by":"a","reason":"b"}`},
	{name: "unknown action", key: "search", body: `{"action":"open","by":"a","reason":"b"}`},
	{name: "nobody", key: "search", body: `{"action":"reset","reason":"b"}`},
	{name: "blank", key: "search", body: `{"action":"reset","by":"  ","reason":"b"}`},
	{name: "no reason", key: "search", body: `{"action":"reset","by":"a"}`},
	{name: "two lines", key: "search", body: `{"action":"reset","by":"a","reason":"b\nc"}`},
	{name: "200 characters", key: "search", body: `{"action":"reset","by":"a","reason":"` + strings.Repeat("ü", 200) + `"}`},
	{name: "201 characters", key: "search", body: `{"action":"reset","by":"a","reason":"` + strings.Repeat("u", 201) + `"}`},
	{name: "no end", key: "search", body: `{"action":"force_open","by":"a","reason":"b"}`},
	{name: "end that is none", key: "search", body: `{"action":"force_open","by":"a","reason":"b","expires_in":"soon"}`},
	{name: "end at once", key: "search", body: `{"action":"force_closed","by":"a","reason":"b","expires_in":"0s"}`},
	{name: "end too late", key: "search", body: `{"action":"force_closed","by":"a","reason":"b","expires_in":"168h1ns"}`},
	{name: "reset with an end", key: "search", body: `{"action":"reset","by":"a","reason":"b","expires_in":"10m"}`},
}

// post makes the attempt.
func (b byHand) post(handler http.Handler) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/breakers/"+b.key, strings.NewReader(b.body))
	set := func(name, value, usual string) {
		if value == "" {
			value = usual
		}
		if value != "none" {
			r.Header.Set(name, value)
		}
	}
	set("Authorization", b.authorization, "Bearer "+token)
	set("Content-Type", b.contentType, "application/json")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// changeable is the typical mesh, whose breakers can be changed with a token. It changes nothing, and writes down what
// it is asked for.
func changeable(did *strings.Builder) *mesh {
	m := typicalMesh()
	m.did = did
	m.admin = Admin{PlainText: true, Token: func() (string, error) { return " " + token + "\n", nil }}
	return m
}

// lineTime matches the time at which a line was written.
var lineTime = regexp.MustCompile(`("time":|\btime=)"?[0-9T:.Z+-]+"?[, ]`)

var lineRemote = regexp.MustCompile(`remote=\S+`)

// TestByHand has, of each attempt, what was done, the answer and the line of the log.
func TestByHand(t *testing.T) {
	golden.Run(t, "testdata/byhand.txtar", func(t *testing.T, _ []txtar.File) map[string]string {
		var out, log strings.Builder
		m := changeable(&out)
		m.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		handler := m.api().Handler()
		for _, a := range attempts {
			log.Reset()
			fmt.Fprintf(&out, "%s\n", a.name)
			w := a.post(handler)
			answer := w.Body.String()
			if w.Code == http.StatusOK {
				get := httptest.NewRecorder()
				handler.ServeHTTP(get, httptest.NewRequest(http.MethodGet, "/breakers/"+a.key, nil))
				if answer != get.Body.String() {
					t.Errorf("%s: the answer is not what GET gives", a.name)
				}
				answer = "the breaker\n"
			}
			fmt.Fprintf(&out, "\t%d %s", w.Code, strings.Join(strings.Fields(answer), " "))
			if got := w.Header().Get("WWW-Authenticate"); got != "" {
				fmt.Fprintf(&out, " [%s]", got)
			}
			line := lineRemote.ReplaceAllString(lineTime.ReplaceAllString(log.String(), ""), "remote=R")
			if n := strings.Count(line, "\n"); n != 1 {
				t.Errorf("%s: %d lines in the log, want 1:\n%s", a.name, n, line)
			}
			if strings.Contains(line, "horse") {
				t.Errorf("%s: a token is in the log: %s", a.name, line)
			}
			fmt.Fprintf(&out, "\n\t%s", line)
		}
		return map[string]string{"attempts": out.String()}
	})
}

// TestNoToken: without a token, or one that can be read, nothing can be changed;
// and the token is read again each time.
func TestNoToken(t *testing.T) {
	given, failure := "", error(nil)
	var did strings.Builder
	admin := Admin{PlainText: true, Token: func() (string, error) { return given, failure }}
	right := attempts[2]
	for _, c := range []struct {
		name, token string
		failure     error
		admin       Admin
		status      int
		says        string
	}{
		{"no admin", "", nil, Admin{PlainText: true}, 403, "--admin-token-file FILE"},
		{"no token", "", nil, admin, 403, "BREAKWATER_ADMIN_TOKEN"},
		{"blank token", " \n", nil, admin, 403, "none is configured"},
		{"unreadable", token, errors.New("permission denied"), admin, 500, "permission denied"},
		{"rotated away", "other", nil, admin, 401, "Authorization"},
		{"right", token, nil, admin, 200, "search"},
	} {
		given, failure = c.token, c.failure
		did.Reset()
		m := changeable(&did)
		m.admin = c.admin
		w := right.post(m.api().Handler())
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %s; want %d with %q", c.name, w.Code, w.Body, c.status, c.says)
		}
		if done := did.Len() > 0; done != (c.status == 200) {
			t.Errorf("%s: a change was made: %v", c.name, done)
		}
	}
}
