package policy

import (
	"cmp"
	"slices"
	"strings"

	"breakwater.dev/policy/internal/yamlwalk"
)

// File is one policy file. Name is what diagnostics call it.
type File struct {
	Name string
	Data []byte
}

// Parse compiles files. It returns a Set, or all diagnostics there are and no Set.
// It is pure: equal files and defaults give equal results.
func Parse(files []File, d Defaults) (*Set, Diagnostics) {
	c := &compiler{defaults: d, complete: true}
	return c.run(files)
}

// run compiles files, unless there are diagnostics already.
func (c *compiler) run(files []File) (*Set, Diagnostics) {
	c.defaults.validate(&c.diagnostics)
	for _, f := range files {
		c.file(f)
	}
	if c.documents == 0 && len(c.diagnostics) == 0 {
		name := "policies"
		if len(files) > 0 {
			name = files[0].Name
		}
		c.diagnostics.report(name, yamlwalk.Problem{Got: "no document in any file", Want: "at least one Upstream or BreakerPolicy", Rule: "no-policies"})
	}
	c.checkUpstreams()
	c.resolveTargets()
	set := c.compile()
	if len(c.diagnostics) > 0 {
		return nil, c.diagnostics.sorted()
	}
	set.Revision, set.notes = revision(set.Upstreams), c.notes
	return set, nil
}

// compiler holds what is known between reading the documents and having the set.
type compiler struct {
	defaults    Defaults
	diagnostics Diagnostics
	documents   int
	// complete is false when something could not be read that others may refer to.
	complete  bool
	upstreams []*upstreamDoc
	layers    []*layer
	byTarget  map[target]*layer
	refs      []targetRef // all targets, each once
	takeovers []takeover
	notes     []string
}

// fail reports a place.
func (c *compiler) fail(p place, want, rule string) {
	c.failAs(p, p.Got(), want, rule)
}

func (c *compiler) failAs(p place, got, want, rule string) {
	c.diagnostics.report(p.file, p.Problem(got, want, rule))
}

// file reads the documents of one file.
func (c *compiler) file(f File) {
	if len(f.Data) > MaxFileSize {
		c.complete = false
		c.diagnostics.report(f.Name, tooLarge())
		return
	}
	report := func(p yamlwalk.Problem) { c.diagnostics.report(f.Name, p) }
	documents, complete := yamlwalk.Documents(f.Data, yamlwalk.Visitor{Report: report})
	c.complete = c.complete && complete
	for _, doc := range documents {
		c.documents++
		switch {
		case isShortForm(doc):
			c.shortForm(f.Name, doc)
		case isPolicy(doc):
			c.document(f.Name, doc)
		default:
			c.complete = false
			c.diagnostics.report(f.Name, doc.Problem("a document that is no policy", wantDocument, "not-a-policy"))
		}
	}
}

// isPolicy tells whether a document means to be a policy. Of one that neither is nor [isShortForm] nothing
// is shown: problems are there for everybody to read, and a file that came into the directory by
// mistake, or by a link, may hold secrets.
func isPolicy(doc yamlwalk.Value) bool {
	says := func(field string, accept func(string) bool) bool {
		v, ok := doc.Get(field)
		return ok && accept(v.Plain())
	}
	return says("apiVersion", func(s string) bool { return strings.HasPrefix(s, "breakwater.dev") }) ||
		says("kind", func(s string) bool {
			_, near := yamlwalk.Nearest(s, []string{kindUpstream, kindPolicy})
			return near || s == kindUpstream || s == kindPolicy
		})
}

const (
	apiVersion     = "breakwater.dev/v1alpha1"
	kindUpstream   = "Upstream"
	kindPolicy     = "BreakerPolicy"
	kindMesh       = "Mesh"
	longestName    = 63
	wantName       = "a name of at most 63 characters a-z, 0-9, - and _, with a letter or digit at both ends"
	wantLabelValue = "a string"
	wantDocument   = "an object with apiVersion " + apiVersion + " and a kind, or with services that have no fields but those of the short form"
)

// object is a document in the shape of a Kubernetes object.
type object struct {
	file             string
	apiVersion, kind string
	name             string
	nameAt, spec     yamlwalk.Value
}

// origin is where the document begins.
func (o *object) origin(doc yamlwalk.Value) Origin {
	return Origin{Name: o.name, File: o.file, Line: doc.Line()}
}

func (c *compiler) document(file string, doc yamlwalk.Value) {
	o := object{file: file, nameAt: doc.Missing("metadata", "nothing")}
	before := len(c.diagnostics)
	isObject := doc.Object(yamlwalk.Fields{
		"apiVersion": yamlwalk.OneOf(&o.apiVersion, apiVersion),
		"kind":       yamlwalk.OneOf(&o.kind, kindUpstream, kindPolicy),
		"metadata":   o.metadata,
		"spec":       func(v yamlwalk.Value) { o.spec = v },
	})
	if isObject {
		for _, required := range []string{"apiVersion", "kind", "metadata", "spec"} {
			if !doc.Has(required) {
				doc.Missing(required, "nothing").Fail("given", "missing-field")
			}
		}
	}
	if len(c.diagnostics) > before {
		c.complete = false
	}
	if !doc.Has("spec") {
		return
	}
	switch o.kind {
	case kindUpstream:
		c.upstream(&o, doc)
	case kindPolicy:
		c.policy(&o, doc)
	}
}

// metadata takes the fields of Kubernetes' ObjectMeta that mean something outside of
// a cluster, so that the file works there unchanged.
func (o *object) metadata(v yamlwalk.Value) {
	isObject := v.Object(yamlwalk.Fields{
		"name": func(v yamlwalk.Value) {
			o.nameAt = v
			name(&o.name)(v)
		},
		"labels":      stringMap,
		"annotations": stringMap,
	})
	if isObject && !v.Has("name") {
		v.Missing("name", "nothing").Fail(wantName, "missing-field")
	}
}

func stringMap(v yamlwalk.Value) {
	v.Entries(func(_ string, _, value yamlwalk.Value) { value.String(wantLabelValue) })
}

// name reads the name of something: a DNS label (RFC 1123) as Kubernetes wants it,
// but also with underscores, which the names of the short form have.
func name(dst *string) yamlwalk.Field {
	return yamlwalk.Text(dst, wantName, "bad-name", isName)
}

func isName(s string) bool {
	if s == "" || len(s) > longestName || strings.Trim(s, "-_") != s {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	})
}

// compile makes the set of what was read. Where a document is broken, what depends
// on it is left out: it would be wrong for a reason that is reported already.
func (c *compiler) compile() *Set {
	set := &Set{}
	for _, l := range c.layers {
		set.Policies = append(set.Policies, l.origin)
	}
	slices.SortFunc(set.Policies, func(a, b Origin) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	mesh := c.overlay(newSettings(c.defaults), target{kind: kindMesh})
	for _, u := range c.upstreams {
		if !u.broken {
			c.compileUpstream(u, mesh)
			set.Upstreams = append(set.Upstreams, u.Upstream)
		}
	}
	slices.SortFunc(set.Upstreams, func(a, b *Upstream) int { return strings.Compare(a.Name, b.Name) })
	c.resolveFallbacks()
	return set
}
