package stand

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// API is a fake of the external API.
type API struct {
	server  *http.Server
	handler atomic.Pointer[http.HandlerFunc]
	calls   atomic.Int64
}

func newAPI(address string) (*API, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	a := &API{}
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second}
	a.Works()
	go a.server.Serve(l)
	return a, nil
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.calls.Add(1)
	(*a.handler.Load())(w, r)
}

// Calls returns how many calls have reached the API.
func (a *API) Calls() int64 { return a.calls.Load() }

func (a *API) behave(h http.HandlerFunc) { a.handler.Store(&h) }

// Works makes the API answer at once.
func (a *API) Works() {
	a.behave(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"points":%d}`, len(r.URL.Path))
	})
}

// Fails makes the API answer with status 500.
func (a *API) Fails() {
	a.behave(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "out of order", http.StatusInternalServerError)
	})
}

// Hangs makes the API send no response.
func (a *API) Hangs() {
	a.behave(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

func (a *API) close() error {
	err := a.server.Close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
