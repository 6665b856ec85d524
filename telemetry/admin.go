package telemetry

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/telemetry/internal/byhand"
)

// Admin is what people with the admin token may do. All functions are needed.
type Admin struct {
	// PlainText takes changes also from other hosts over plain text, where everybody on the way
	// can read the token.
	PlainText bool
	// Token returns the token; it is asked at each request, so that a file can be
	// rotated. White space around it is not part of it. "": none is configured, and
	// every change is refused.
	Token func() (string, error)
	// Force puts a breaker into a state for some time. The error is or wraps
	// [breaker.ErrUnknown] where there is no such breaker.
	Force func(breaker.Key, Force) error
	// Reset ends what somebody did by hand, and closes the breaker. Errors as of Force.
	Reset func(key breaker.Key, by, note string) error
}

// Force is a state that somebody puts a breaker into.
type Force struct {
	State    breaker.State // Open or Closed
	By, Note string        // who, and why
	For      time.Duration // above 0
}

// authorize tells who may make changes.
func (a *Admin) authorize(r *http.Request) *byhand.Refusal {
	if a != nil && !a.PlainText && r.TLS == nil && peer(r) != "" {
		return &byhand.Refusal{Status: http.StatusForbidden, Text: "changes by hand from other hosts need TLS, since everybody on the way could read the admin token, also that of this request: " +
			"start with `breakwater serve --http-tls-cert FILE --http-tls-key FILE`, or come by a tunnel to this host, such as kubectl port-forward; --http-insecure allows it"}
	}
	token := ""
	if a != nil {
		var err error
		if token, err = a.Token(); err != nil {
			return &byhand.Refusal{Status: http.StatusInternalServerError, Text: "the admin token cannot be read: " + err.Error()}
		}
	}
	return byhand.Authorize(token, r.Header.Get("Authorization"))
}

// change makes a change by hand, and answers with the breaker as it is then.
func (t *Telemetry) change(w http.ResponseWriter, r *http.Request) {
	admin := t.options.Admin
	a := byhand.Attempt{Remote: r.RemoteAddr, Key: r.PathValue("key")}
	if a.Refused = admin.authorize(r); a.Refused != nil {
		a.Stranger = true
	} else if a.Change, a.Refused = byhand.Read(w, r); a.Refused == nil {
		a.Refused = admin.make(a.Key, a.Change)
	}
	t.audit.Write(&a)
	if a.Refused == nil {
		t.breaker(w, r)
		return
	}
	if a.Refused.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	t.writeJSON(w, a.Refused.Status, problem{a.Refused.Text})
}

// make does what c says.
func (a *Admin) make(name string, c byhand.Change) *byhand.Refusal {
	key := breaker.ParseKey(name)
	err := breaker.ErrUnknown
	switch {
	case key.String() != name: // no breaker has this name
	case c.Action == byhand.ForceOpen:
		err = a.Force(key, Force{breaker.Open, c.By, c.Reason, c.Lasts})
	case c.Action == byhand.ForceClosed:
		err = a.Force(key, Force{breaker.Closed, c.By, c.Reason, c.Lasts})
	default:
		err = a.Reset(key, c.By, c.Reason)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, breaker.ErrUnknown):
		return &byhand.Refusal{Status: http.StatusNotFound, Text: fmt.Sprintf("there is no breaker %q", name)}
	case errors.Is(err, breaker.ErrDisabled):
		return &byhand.Refusal{Status: http.StatusConflict, Text: err.Error()}
	default:
		return &byhand.Refusal{Status: http.StatusInternalServerError, Text: err.Error()}
	}
}
