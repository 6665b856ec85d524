package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// FuzzList: whatever comes as a list is read whole or is an error, and a breaker that was read has its text.
func FuzzList(f *testing.F) {
	for _, s := range []string{
		`{"breakers": [], "answered_by": {"instance": "a", "proxies": 1}}`, `{"breakers": [{"key": "a", "state": "open", "retry_after": "1s"}]}`,
		`{"breakers": [], "Answered_by": {"instance": "a"}, "x": "answered_by"}`, `{"breakers": [], "answered_by": {"instance": "a"}, "answered_by": {"proxies": 1}}`,
		`{"breakers": [{"key": "a"}`, `{"breakers": [{"key": "a"}]`, `{"circuits": []}`, `[]`, `null`, ``, `{"breakers": null}`, `{"breakers": [], "answered_by": null, "x": [1]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var all []json.RawMessage
		by, err := readList(json.NewDecoder(bytes.NewReader(text)), func(item Item) error {
			all = append(all, item.JSON)
			return nil
		})
		if err != nil {
			return
		}
		// Its exact name makes the field, and the last of two counts.
		var fields map[string]json.RawMessage
		var want *Instance
		if err := json.Unmarshal(text, &fields); err != nil {
			return // something follows the list
		}
		if answered := fields["answered_by"]; answered != nil {
			if err := json.Unmarshal(answered, &want); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(by, want) {
			t.Errorf("answered by %v, want %v, in %q", by, want, text)
		}
		for _, one := range all {
			if !json.Valid(one) || !bytes.Contains(text, one) {
				t.Errorf("%q is not the text of a breaker in %q", one, text)
			}
		}
	})
}

// FuzzOne: whatever comes as one breaker is read or is an error.
func FuzzOne(f *testing.F) {
	for _, s := range []string{
		`{"key": "a", "forced": {"until": null}, "answered_by": {"instance": "a"}}`, `{"last_transition": {"wait": "30s", "until": "2026-11-23T12:00:00Z"}}`, `{}`, `[]`, `null`, `1`, ``, `{`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		item, _, err := readOne(json.NewDecoder(bytes.NewReader(text)))
		if err == nil && (!json.Valid(item.JSON) || !bytes.Contains(text, item.JSON)) {
			t.Errorf("%q is not the text of a breaker in %q", item.JSON, text)
		}
	})
}

// FuzzEvents: a stream gives events until it ends or breaks, whatever is in it, and never one without a transition.
func FuzzEvents(f *testing.F) {
	for _, s := range []string{"\n\n", `{"key":"a","sequence":1}` + "\n" + `{"lost": 3}` + "\n", `{"key"`, `null`, `[]`, `{"at": 1}`, `{"cause": null, "wait": null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := newStream(t.Context(), func(error) {}, io.NopCloser(bytes.NewReader(text)), time.Hour)
		defer s.Close()
		for range len(text) + 1 {
			e, err := s.Next()
			if err != nil {
				return
			}
			if e.Transition == nil || !json.Valid(s.JSON()) {
				t.Fatalf("event %+v of %q", e, s.JSON())
			}
		}
		t.Errorf("%q has more events than bytes", text)
	})
}

// FuzzAnswer: an answer that says no is an error of one of two types, whatever it says.
func FuzzAnswer(f *testing.F) {
	f.Add(404, []byte(`{"error": "there is none"}`))
	f.Add(503, []byte(`{"status": "not_ready"}`))
	f.Add(400, []byte("Client sent an HTTP request to an HTTPS server.\n"))
	f.Add(500, []byte(`{"error": 1}`))
	c, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, text []byte) {
		err := c.refused(&request{method: http.MethodGet, path: "/"}, &http.Response{StatusCode: status, Status: "x"}, text)
		var no *StatusError
		var other *AnswerError
		if !errors.As(err, &no) && !errors.As(err, &other) || err.Error() == "" {
			t.Errorf("%T: %v", err, err)
		}
		if no != nil && no.Status != status {
			t.Errorf("%+v of %q", no, text)
		}
	})
}

// TestDurationRoundTrip: the text of every duration is read as that duration.
func TestDurationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64().Draw(t, "d"))
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var back Duration
		if err := json.Unmarshal(text, &back); err != nil || back != d {
			t.Errorf("%d is %s, and is read as %d, %v", d, text, back, err)
		}
	})
}

// FuzzDuration: text is a duration or an error.
func FuzzDuration(f *testing.F) {
	for _, s := range []string{"0s", "1m30s", "-1h", "", "soon", "1d", "9223372036854775807ns"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d, back Duration
		if d.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := back.UnmarshalText([]byte(d.String())); err != nil || back != d {
			t.Errorf("%q is %s, which is read as %s, %v", text, d, back, err)
		}
	})
}

// FuzzKey: a key that is valid arrives at the control plane as it is.
func FuzzKey(f *testing.F) {
	for _, s := range []string{"a", "a/b@c", "a/b@../x?y#z%2F", "..", "a@.", "\x00", "a b", "ü@\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if !ValidKey(key) {
			return
		}
		r, err := http.NewRequest(http.MethodGet, DefaultServer+breakerPath(key), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimPrefix(r.URL.Path, "/breakers/"); got != key {
			t.Errorf("%q arrives as %q", key, got)
		}
	})
}
