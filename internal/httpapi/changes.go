package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater.dev/api"
	"breakwater.dev/breaker"
	"breakwater.dev/internal/httpapi/byhand"
)

// Admin says which clients may change breakers by hand.
type Admin struct {
	// Token returns the admin token. It is called for each request, so that a file can be replaced. White space around
	// the token is not part of it. nil or "": there is none, and every change is refused.
	Token func() (string, error)
	// PlainText takes changes from other hosts over plain text too, where others on the way can read the token.
	PlainText bool
}

// authorize returns nil where the client may make changes, else why not.
func (d *Admin) authorize(r *http.Request) *byhand.Refusal {
	if !d.PlainText && r.TLS == nil && peer(r) != "" {
		return &byhand.Refusal{Status: http.StatusForbidden, Text: "changes by hand from other hosts need TLS, since everybody on the way could read the admin token, also that of this request: " +
			"start with `breakwater serve --http-tls-cert FILE --http-tls-key FILE`, or come by a tunnel to this host, such as kubectl port-forward; --http-insecure allows it"}
	}
	token := ""
	if d.Token != nil {
		var err error
		if token, err = d.Token(); err != nil {
			return &byhand.Refusal{Status: http.StatusInternalServerError, Text: "the admin token cannot be read: " + err.Error()}
		}
	}
	return byhand.Authorize(token, r.Header.Get("Authorization"))
}

// change makes a change by hand, and answers with the breaker as it is then.
func (a *API) change(w http.ResponseWriter, r *http.Request) {
	at := byhand.Attempt{Remote: r.RemoteAddr, Key: r.PathValue("key")}
	if at.Refused = a.options.Admin.authorize(r); at.Refused != nil {
		at.Stranger = true
	} else if at.Change, at.Refused = byhand.Read(w, r); at.Refused == nil {
		at.Refused = a.make(at.Key, at.Change)
	}
	a.audit.Write(&at)
	if at.Refused == nil {
		a.breaker(w, r)
		return
	}
	if at.Refused.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	a.refuse(w, at.Refused.Status, at.Refused.Text)
}

// make does what c says, and returns once its transitions are delivered.
func (a *API) make(name string, c byhand.Change) *byhand.Refusal {
	key := breaker.ParseKey(name)
	err := breaker.ErrUnknown
	if key.String() == name { // else no breaker has this name
		err = a.apply(key, c)
		a.options.Deliver()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, breaker.ErrUnknown):
		return &byhand.Refusal{Status: http.StatusNotFound, Text: noBreaker(name)}
	case errors.Is(err, breaker.ErrDisabled):
		return &byhand.Refusal{Status: http.StatusConflict, Text: err.Error()}
	default:
		return &byhand.Refusal{Status: http.StatusInternalServerError, Text: err.Error()}
	}
}

// apply has the engine do what c says.
func (a *API) apply(key breaker.Key, c byhand.Change) error {
	now := a.options.Clock.Now()
	o := breaker.Override{By: c.By, Note: c.Reason, Until: now.Add(c.Lasts)}
	switch c.Action {
	case api.ForceOpen:
		o.State = breaker.Open
	case api.ForceClosed:
		o.State = breaker.Closed
	default:
		return a.options.Engine.Reset(key, c.By, c.Reason, now)
	}
	return a.options.Engine.Force(key, o, now)
}

func noBreaker(name string) string { return fmt.Sprintf("there is no breaker %q", name) }

var changesDesc = prometheus.NewDesc("breakwater_changes_by_hand_total", "Attempts to change a breaker by hand, by what became of them.", []string{"result"}, nil)

// Describe implements [prometheus.Collector].
func (a *API) Describe(ch chan<- *prometheus.Desc) { ch <- changesDesc }

// Collect implements [prometheus.Collector].
func (a *API) Collect(ch chan<- prometheus.Metric) {
	c := a.audit.Counts()
	ch <- prometheus.MustNewConstMetric(changesDesc, prometheus.CounterValue, float64(c.Done), "done")
	ch <- prometheus.MustNewConstMetric(changesDesc, prometheus.CounterValue, float64(c.Refused), "refused")
	ch <- prometheus.MustNewConstMetric(changesDesc, prometheus.CounterValue, float64(c.Unauthorized), "unauthorized")
}
