package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"breakwater.dev/breaker"
)

// mesh is the control plane, which has the breakers for all proxies.
type mesh struct{ url, workload string }

// dependencies asks the control plane whether fewer than half of this workload's dependencies have an open breaker. It
// returns an error if the control plane does not answer.
func (m *mesh) dependencies(ctx context.Context) (ready bool, err error) {
	if m.url == "" {
		return false, errors.New("there is no control plane")
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout/2)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+"/health/dependencies?for="+url.QueryEscape(m.workload), nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false, err
	}
	resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusServiceUnavailable:
		return false, nil
	}
	return false, errors.New("the control plane answered " + resp.Status)
}

// readiness is the response of /health/ready.
type readiness struct {
	Status string `json:"status"` // ready | not_ready
	// By says which breakers decided: "mesh", or "shop" for this process if the control plane cannot be reached.
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`
}

// ready serves /health/ready. The shop is not ready while the breakers of half or more of its dependencies are open, so
// that traffic goes to other workloads.
func (s *service) ready(w http.ResponseWriter, r *http.Request) {
	answer := readiness{Status: "ready", By: "mesh"}
	ready, err := s.mesh.dependencies(r.Context())
	if err != nil {
		answer.By, answer.Reason = "shop", err.Error()
		ready = s.judgeAlone()
	}
	status := http.StatusOK
	if !ready {
		status, answer.Status = http.StatusServiceUnavailable, "not_ready"
	}
	writeJSON(w, status, answer)
}

// judgeAlone reports whether the shop is ready according to the breakers in this process.
func (s *service) judgeAlone() bool {
	open, all := 0, 0
	for _, st := range s.breakers.Snapshot() {
		if name := st.Key.String(); name != databaseName && name != redisName {
			continue // not called in this process
		}
		all++
		if st.State == breaker.Open {
			open++
		}
	}
	return 2*open < all
}
