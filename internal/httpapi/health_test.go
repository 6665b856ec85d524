package httpapi

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"breakwater.dev/api"
	"breakwater.dev/breaker"
)

// TestDependenciesInAScopeOfNodes: a breaker that is open for a few proxies keeps
// the application behind the others in service.
func TestDependenciesInAScopeOfNodes(t *testing.T) {
	for _, tt := range []struct {
		openNodes uint32
		open      int
		status    string
	}{{1, 0, "ready"}, {2, 1, "not_ready"}, {4, 1, "not_ready"}} {
		m := mesh{breakers: these(breaker.Status{Key: breaker.Key{Upstream: "a"}, State: breaker.Open, Nodes: 4, OpenNodes: tt.openNodes})}
		w := httptest.NewRecorder()
		m.api().Handler().ServeHTTP(w, httptest.NewRequest("GET", "/health/dependencies", nil))
		var got api.Dependencies
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Open != tt.open || got.HalfOpen != 1-tt.open || got.Status != tt.status {
			t.Errorf("%d of 4 proxies open: %+v, want %d open and %s", tt.openNodes, got, tt.open, tt.status)
		}
	}
}
