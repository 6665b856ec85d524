package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"breakwater.dev/policy/internal/yamlwalk"
)

// MaxFileSize is the largest file that is read, in bytes.
const MaxFileSize = 1 << 20

// File is one policy file, or the reason why it could not be read.
type File struct {
	Name string // as diagnostics name it
	Data []byte
	// Unreadable says why there is no Data; nil: the file was read. Only Got, Want and Rule count.
	Unreadable *Diagnostic
}

// Objects reads the objects of files, in the order of the files and of the documents in them.
// Whatever cannot be read is an object too, which [Compile] refuses. Without any document the result
// is one such object, which says so. Objects is pure.
func Objects(files []File) []*Object {
	each := make([][]*Object, len(files))
	for i, f := range files {
		each[i] = f.Objects()
	}
	first := ""
	if len(files) > 0 {
		first = files[0].Name
	}
	return Join(first, each)
}

// Objects reads the objects of one file, in the order of its documents, without a precedence. Whatever cannot be
// read is an object too. Objects is pure.
func (f File) Objects() []*Object {
	var r documents
	r.file(f)
	return r.objects
}

// Join returns the objects of files as [Objects] does, from what [File.Objects] returned for each. first is the name of the
// first file, for the problem that there is no document. Join sets the precedence of all objects, so none of
// them may be in use.
func Join(first string, each [][]*Object) []*Object {
	all := slices.Concat(each...)
	if len(all) == 0 {
		var r documents
		r.broken(cmp.Or(first, "policies"), yamlwalk.Problem{Got: "no document in any file", Want: "at least one Upstream or BreakerPolicy", Rule: "no-policies"})
		all = r.objects
	}
	for i, o := range all {
		o.Precedence = int64(i + 1)
	}
	return all
}

// documents collects the objects of one file.
type documents struct {
	objects  []*Object
	problems int // that are kept, in all objects
}

// found adds a problem to an object. Memory is bounded, see [ledger].
func (r *documents) found(o *Object, p yamlwalk.Problem) {
	if r.problems >= maxDiagnostics && len(o.problems) >= leastDiagnostics {
		o.more = true
		return
	}
	r.problems++
	o.found(p)
}

// broken adds an object for a part of a file that cannot be read. Other objects may refer to something in it.
func (r *documents) broken(file string, p yamlwalk.Problem) {
	o := &Object{at: Origin{File: file}, partial: true}
	r.found(o, p)
	r.objects = append(r.objects, o)
}

// file reads the documents of one file.
func (r *documents) file(f File) {
	switch {
	case f.Unreadable != nil:
		r.broken(f.Name, yamlwalk.Problem{Got: f.Unreadable.Got, Want: f.Unreadable.Want, Rule: f.Unreadable.Rule})
		return
	case len(f.Data) > MaxFileSize:
		r.broken(f.Name, yamlwalk.Problem{Got: "a larger file", Want: fmt.Sprintf("at most %d MiB", MaxFileSize>>20), Rule: "file-too-large"})
		return
	}
	report := func(p yamlwalk.Problem) { r.broken(f.Name, p) }
	found, _ := yamlwalk.Documents(f.Data, yamlwalk.Visitor{Report: report})
	for _, doc := range found {
		switch {
		case isShortForm(doc):
			r.shortForm(f.Name, doc)
		case isPolicy(doc):
			r.document(f.Name, doc)
		default:
			r.broken(f.Name, doc.Problem("a document that is no policy", wantDocument, "not-a-policy"))
		}
	}
}

// isPolicy reports whether a document is meant to be a policy. Diagnostics show nothing of a document
// that is neither a policy nor in the short form: diagnostics are not secret, and a file that is in the
// directory by mistake, or by a link, may hold secrets.
func isPolicy(doc yamlwalk.Value) bool {
	says := func(field string, accept func(string) bool) bool {
		v, ok := doc.Get(field)
		return ok && accept(v.Plain())
	}
	return says("apiVersion", func(s string) bool { return strings.HasPrefix(s, "breakwater.dev") }) ||
		says("kind", func(s string) bool {
			_, near := yamlwalk.Nearest(s, []string{KindUpstream, KindPolicy})
			return near || s == KindUpstream || s == KindPolicy
		})
}

const (
	apiVersion     = "breakwater.dev/v1alpha1"
	kindMesh       = "Mesh"
	longestName    = 63
	wantName       = "a name of at most 63 characters a-z, 0-9, - and _, with a letter or digit at both ends"
	wantLabelValue = "a string"
	wantDocument   = "an object with apiVersion " + apiVersion + " and a kind, or with services that have no fields but those of the short form"
)

// document reads the head of a document in the shape of a Kubernetes object. Its spec is read when it
// is compiled.
func (r *documents) document(file string, doc yamlwalk.Value) {
	o := &Object{at: Origin{File: file, Line: doc.Line()}, nameAt: doc.Missing("metadata", "nothing")}
	r.objects = append(r.objects, o)
	doc = doc.With(yamlwalk.Visitor{Report: func(p yamlwalk.Problem) { r.found(o, p) }})
	var version string
	isObject := doc.Object(yamlwalk.Fields{
		"apiVersion": yamlwalk.OneOf(&version, apiVersion),
		"kind":       yamlwalk.OneOf(&o.Kind, KindUpstream, KindPolicy),
		"metadata":   o.metadata,
		"spec":       func(v yamlwalk.Value) { o.spec, o.hasSpec = v.Alone(), true },
	})
	if isObject {
		required(doc, "apiVersion", "kind", "metadata", "spec")
	}
	o.at.Name = o.Name
	o.partial = len(o.problems) > 0
}

// metadata reads the fields of Kubernetes' ObjectMeta that have a meaning outside a cluster, so that
// the file works there unchanged.
func (o *Object) metadata(v yamlwalk.Value) {
	isObject := v.Object(yamlwalk.Fields{
		"name": func(v yamlwalk.Value) {
			o.nameAt = v.Alone()
			name(&o.Name)(v)
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

// name reads a name: a DNS label (RFC 1123), as Kubernetes requires, but also with underscores, which
// names in the short form have.
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

// required reports the fields that an object needs and does not have. It returns whether all are there.
func required(v yamlwalk.Value, names ...string) bool {
	all := true
	for _, name := range names {
		if !v.Has(name) {
			v.Missing(name, "nothing").Fail("given", "missing-field")
			all = false
		}
	}
	return all
}
