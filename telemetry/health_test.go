package telemetry

import (
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"testing"

	"breakwater.dev/breaker"
)

// TestDependenciesInAScopeOfNodes: a breaker that is open for a few proxies keeps
// the application behind the others in service.
func TestDependenciesInAScopeOfNodes(t *testing.T) {
	cfg := breaker.DefaultConfig()
	for _, tt := range []struct {
		openNodes uint32
		open      int
		status    string
	}{{1, 0, "ready"}, {2, 1, "not_ready"}, {4, 1, "not_ready"}} {
		tel := New(Options{Log: slog.New(slog.DiscardHandler), Breakers: func(all []breaker.Status) []breaker.Status {
			return append(all, breaker.Status{
				Key: breaker.Key{Upstream: "a"}, Config: &cfg, State: breaker.Open, Nodes: 4, OpenNodes: tt.openNodes,
			})
		}})
		w := httptest.NewRecorder()
		tel.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/health/dependencies", nil))
		var got dependencies
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Open != tt.open || got.HalfOpen != 1-tt.open || got.Status != tt.status {
			t.Errorf("%d of 4 proxies open: %+v, want %d open and %s", tt.openNodes, got, tt.open, tt.status)
		}
		tel.Close()
	}
}
