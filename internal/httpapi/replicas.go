package httpapi

import (
	"net/http"

	"breakwater.dev/api"
)

// sharing returns the control planes that share the breakers; nil: there are no others.
func (a *API) sharing() *api.Replicas {
	if a.options.Replicas == nil {
		return nil
	}
	return a.options.Replicas()
}

// replicas answers with the control planes that share the breakers.
func (a *API) replicas(w http.ResponseWriter, _ *http.Request) {
	by := a.instance()
	of := by.Replicas
	by.Replicas = nil // once is enough
	a.writeJSON(w, http.StatusOK, api.ReplicaList{Replicas: of, AnsweredBy: by})
}
