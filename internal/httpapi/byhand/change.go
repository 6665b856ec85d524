package byhand

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"breakwater.dev/api"
)

const (
	maxChange = 16 << 10 // bytes of a body
	maxWords  = 200      // characters of by and reason
	maxForce  = 168 * time.Hour
)

// Change is a change by hand that was asked for.
type Change struct {
	api.Change
	Lasts time.Duration // as ExpiresIn says; 0 for a reset
}

// Read reads a body that is right, or says what is wrong. The parts that could be read are there in either case.
func Read(w http.ResponseWriter, r *http.Request) (c Change, no *Refusal) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return c, &Refusal{http.StatusUnsupportedMediaType, fmt.Sprintf("Content-Type = %q; must be application/json", r.Header.Get("Content-Type"))}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxChange))
	if err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return c, &Refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxChange)}
		}
		return c, wrong("the body cannot be read: %s", err)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c.Change); err != nil {
		return c, notJSON(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return c, wrong("the body has more than one JSON object")
	}
	return c, c.check()
}

// notJSON says for operators what the decoder says for programmers.
func notJSON(err error) *Refusal {
	kind := (*json.UnmarshalTypeError)(nil)
	switch {
	case errors.Is(err, io.EOF):
		return wrong("the body is empty; must be a JSON object")
	case errors.As(err, &kind) && kind.Field != "":
		return wrong("%s is a JSON %s; must be a string", kind.Field, kind.Value)
	case errors.As(err, &kind):
		return wrong("the body is a JSON %s; must be an object", kind.Value)
	default:
		return wrong("the body is not a change: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
}

// check says what is wrong with c, and reads its duration.
func (c *Change) check() *Refusal {
	switch c.Action {
	case api.ForceOpen, api.ForceClosed:
		if c.ExpiresIn == nil {
			return wrong("expires_in is missing; %s needs a duration such as \"10m\"", c.Action)
		}
		d, err := time.ParseDuration(*c.ExpiresIn)
		if err != nil || d <= 0 || d > maxForce {
			return wrong("expires_in = %q; must be a duration above 0s and at most 168h, such as \"10m\"", *c.ExpiresIn)
		}
		c.Lasts = d
	case api.Reset:
		if c.ExpiresIn != nil {
			return wrong("expires_in = %q; must be left out: a reset does not end", *c.ExpiresIn)
		}
	default:
		return wrong("action = %q; must be force_open, force_closed or reset", c.Action)
	}
	if !inWords(c.By) {
		return wrong("by = %q; must be who does it, in 1 to %d printable characters", c.By, maxWords)
	}
	if !inWords(c.Reason) {
		return wrong("reason = %q; must be why it is done, in 1 to %d printable characters", c.Reason, maxWords)
	}
	return nil
}

// inWords reports whether s can stand in a line of a log.
func inWords(s string) bool {
	unprintable := func(r rune) bool { return !unicode.IsPrint(r) }
	return strings.TrimSpace(s) != "" && utf8.RuneCountInString(s) <= maxWords && !strings.ContainsFunc(s, unprintable)
}
