package httpapi

import (
	"bytes"
	"net/http"

	"breakwater.dev/api"
)

// config answers with the policy in force and what became of it.
func (a *API) config(w http.ResponseWriter, _ *http.Request) {
	config := api.Config{
		Version: a.options.Version, Load: a.options.History.Load(),
		Nodes: append([]api.Node{}, a.options.Proxies.Status()...), // [] in JSON, never null
	}
	if set := a.options.Policy(); set != nil {
		var text bytes.Buffer
		if err := newEncoder(&text, "").Encode(a.view(set)); err != nil {
			a.notJSON(w, err)
			return
		}
		config.Policy = text.Bytes()
	}
	a.writeJSON(w, http.StatusOK, config)
}
