package httpapi

import (
	"bytes"
	"html/template"
	"net/http"
	"strings"
)

var indexPage = template.Must(template.New("index").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Breakwater</title>
</head>
<body>
<h1>Breakwater</h1>
<p>Version {{or .Version "unknown"}}, policy {{or .Revision "not loaded"}}.</p>
<dl>
{{- range .Endpoints}}
<dt>{{if .Link}}<a href="{{.Path}}">{{.Path}}</a>{{else}}{{.Path}}{{end}}</dt>
<dd>{{.About}}</dd>
{{- end}}
</dl>
</body>
</html>
`))

// link is one endpoint on the index page.
type link struct {
	Path, About string
	Link        bool // the path can be followed as it is
}

// index lists the endpoints.
func (a *API) index(w http.ResponseWriter, endpoints []endpoint) {
	page := struct {
		Version, Revision string
		Endpoints         []link
	}{Version: a.options.Version, Revision: a.options.History.Load().Revision}
	for _, e := range endpoints {
		page.Endpoints = append(page.Endpoints, link{e.path, e.about, !e.endless && !strings.Contains(e.path, "{")})
	}
	var body bytes.Buffer
	if err := indexPage.Execute(&body, page); err != nil {
		http.Error(w, "index page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	_, _ = w.Write(body.Bytes()) // fails only when the client has left
}
