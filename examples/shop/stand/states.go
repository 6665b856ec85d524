package stand

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// States returns the states of the mesh's breakers, by the name of the dependency.
func (s *Stand) States(ctx context.Context) (map[string]string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.ControlPlane()+"/health/services", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var page struct {
		Services []struct {
			Service string `json:"service"`
			State   string `json:"circuit_state"`
		} `json:"services"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		return nil, err
	}
	states := map[string]string{}
	for _, b := range page.Services {
		states[b.Service] = b.State
	}
	return states, nil
}

// AllClosed returns an error that names a breaker of the mesh that is not closed, and nil if all are.
func (s *Stand) AllClosed(ctx context.Context) error {
	states, err := s.States(ctx)
	if err != nil {
		return err
	}
	for name, state := range states {
		if state != "closed" {
			return fmt.Errorf("the breaker of %s is %s", name, state)
		}
	}
	return nil
}
