package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/internal/typical"
)

// TestTypesSayAll: each answer is read into its type without a field that is left over, and written the same again.
func TestTypesSayAll(t *testing.T) {
	handler := typicalMesh().api().Handler()
	for path, into := range map[string]any{
		"/health/live": &api.Live{}, "/health/ready": &api.Ready{}, "/health/dependencies?for=shop": &api.Dependencies{}, "/health/services": &api.Services{},
		"/breakers": &api.BreakerList{}, "/breakers/payments/charge": &api.OneBreaker{}, "/breakers/search": &api.OneBreaker{}, "/breakers/nothing": &api.Problem{},
		"/config": &api.Config{},
	} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		strict := json.NewDecoder(bytes.NewReader(w.Body.Bytes()))
		strict.DisallowUnknownFields()
		if err := strict.Decode(into); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		var again bytes.Buffer
		if err := newEncoder(&again, "").Encode(into); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if again.String() != w.Body.String() {
			t.Errorf("%s is\n%s\nand was\n%s", path, again.String(), w.Body)
		}
	}
}

// TestClient reads with the client what the mesh shows.
func TestClient(t *testing.T) {
	var did strings.Builder
	m := changeable(&did)
	a := m.api()
	server := httptest.NewServer(a.Handler())
	t.Cleanup(server.Close)
	t.Cleanup(a.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := api.New(api.Options{Server: server.URL, Token: token, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	no := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	all, answer, err := c.List(t.Context(), api.Query{})
	if no(err); len(all) != len(typical.Breakers(nil)) || answer.By.Proxies != len(typical.Nodes()) || time.Since(answer.At) > time.Minute {
		t.Errorf("%d breakers, answered by %+v", len(all), answer)
	}
	for _, b := range all {
		one, _, err := c.Get(t.Context(), b.Key)
		if no(err); !reflect.DeepEqual(one.Breaker, b) {
			t.Errorf("%s is %+v, and in the list %+v", b.Key, one.Breaker, b)
		}
	}
	for _, state := range api.States() {
		some, _, err := c.List(t.Context(), api.Query{State: state})
		if no(err); len(some) == 0 || len(some) == len(all) {
			t.Errorf("%d breakers are %s", len(some), state)
		}
	}
	config, err := c.Config(t.Context())
	if no(err); config.Revision != "5f3a" || !reflect.DeepEqual(config.Nodes, typical.Nodes()) {
		t.Errorf("config: %+v", config)
	}
	services, err := c.Services(t.Context())
	if no(err); len(services.Services) == 0 || len(services.Ejections) != 2 {
		t.Errorf("services: %+v", services)
	}
	ready, err := c.Ready(t.Context())
	if no(err); ready.Status != api.IsReady {
		t.Errorf("ready: %+v", ready)
	}
	d, err := c.Dependencies(t.Context(), "shop")
	if no(err); d.Total != 2 || d.Status != api.NotReady {
		t.Errorf("dependencies: %+v", d)
	}
	no(c.Live(t.Context()))
	_, _, err = c.Force(t.Context(), "stock/list@shop-2", api.Force{State: api.Closed, By: "alice", Reason: "a drill", For: 90 * time.Second})
	no(err)
	_, _, err = c.Reset(t.Context(), "search", "bob", "it is over")
	no(err)
	if got, want := did.String(), "\tforces stock/list@shop-2 closed for 1m30s, by alice: a drill\n\tresets search, by bob: it is over\n"; got != want {
		t.Errorf("did\n%s\nwant\n%s", got, want)
	}
}

// TestClientFollows reads with the client what happens.
func TestClientFollows(t *testing.T) {
	a := new(mesh).api()
	server := httptest.NewServer(a.Handler())
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := api.New(api.Options{Server: server.URL, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := c.Follow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for _, tr := range typical.Transitions() {
		a.ObserveTransition(tr)
		e, err := stream.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e.Key != tr.Key.String() || !reflect.DeepEqual(e.Transition, a.describeTransition(&tr)) || !reflect.DeepEqual(e.Cause, a.describeTransition(tr.Cause)) {
			t.Errorf("%+v of %+v", e, tr)
		}
	}
	a.Close()
	if _, err := stream.Next(); err != io.EOF {
		t.Errorf("it ended with %v, want %v", err, io.EOF)
	}
}
