package httpapi

import (
	"net/http"

	"breakwater.dev/api"
)

// config answers with the policy in force and what became of it.
func (a *API) config(w http.ResponseWriter, _ *http.Request) {
	config := api.Config{
		Version: a.options.Version, Load: a.options.History.Load(),
		Nodes: append([]api.Node{}, a.options.Proxies.Status()...), // [] in JSON, never null
	}
	var view any // null before a policy is in force
	if set := a.options.Policy(); set != nil {
		view = a.view(set)
	}
	a.writeJSON(w, http.StatusOK, struct {
		api.Config
		Policy any `json:"policy"` // in place of the text that readers get
	}{config, view})
}
