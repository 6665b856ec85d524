package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"breakwater.dev/policy/internal/yamlwalk"
)

// The kinds of objects.
const (
	KindUpstream = "Upstream"
	KindPolicy   = "BreakerPolicy"
)

// ID names an object within its source.
type ID struct {
	Kind      string // KindUpstream or KindPolicy; empty for an object that could not be read
	Namespace string // empty for an object from a file
	Name      string // metadata.name, or the name of a service in the short form
}

// String returns "BreakerPolicy/shop/payments", "Upstream/payments" without a namespace, and "" for the
// zero value.
func (id ID) String() string {
	switch {
	case id == ID{}:
		return ""
	case id.Namespace == "":
		return id.Kind + "/" + id.Name
	}
	return id.Kind + "/" + id.Namespace + "/" + id.Name
}

// Object is one policy object as its source has it: an Upstream, a BreakerPolicy, or one entry of the
// short form. [Compile] judges each object separately.
//
// An object that could not be read, or not completely, is an object too. It carries the problems that
// were found, and [Compile] refuses it.
//
// Sources set the exported fields before they pass an object to [Compile]. Afterwards an object never
// changes. It can be compiled any number of times, also by several goroutines at once. A source may change
// Precedence, and nothing else, while the object is not being compiled.
type Object struct {
	ID
	// Generation is the source's number for this version of the object. This package only hands it
	// back in a [Result]. Objects from files have none: 0.
	Generation int64
	// Precedence decides between two objects that cannot both be in force: the one with the lower
	// number stays. [Objects] numbers the objects of files in the order in which they were read. A
	// source whose objects have an age gives the time of creation, so that an object that is in force
	// is not displaced by a new one.
	Precedence int64

	at       Origin
	lineless bool // positions within the object mean nothing to its author
	problems []yamlwalk.Problem
	more     bool // there were more problems than are kept
	// partial means that other objects may refer to something that could not be read.
	partial bool
	short   bool           // spec is an entry of the short form
	nameAt  yamlwalk.Value // where the name is written
	spec    yamlwalk.Value
	hasSpec bool
}

// NewObject makes an object that its source knows by an id, as Kubernetes does. data is the object in JSON
// or YAML, and only its spec is read. Diagnostics of the object have id in place of a file, and a path, but
// no line and no column.
func NewObject(id ID, data []byte) *Object {
	o := &Object{ID: id, at: Origin{Name: id.Name, File: id.String()}, lineless: true}
	documents, _ := yamlwalk.Documents(data, yamlwalk.Visitor{Report: o.found})
	switch {
	case len(o.problems) > 0:
		return o
	case len(documents) != 1:
		o.found(yamlwalk.Problem{Got: fmt.Sprintf("%d documents", len(documents)), Want: "one object", Rule: "not-a-policy"})
		return o
	}
	doc := documents[0].With(yamlwalk.Visitor{Report: o.found})
	o.nameAt = doc.Missing("metadata", "nothing").Missing("name", strconv.Quote(id.Name))
	if !isName(id.Name) {
		o.nameAt.Fail(wantName, "bad-name")
	}
	if o.spec, o.hasSpec = doc.Get("spec"); !o.hasSpec {
		doc.Missing("spec", "nothing").Fail("given", "missing-field")
	}
	return o
}

// found adds a problem that refuses the object.
func (o *Object) found(p yamlwalk.Problem) {
	if len(o.problems) == maxDiagnostics {
		o.more = true
		return
	}
	o.problems = append(o.problems, p)
}

// place is the place of one of the object's values.
func (o *Object) place(v yamlwalk.Value) place { return place{Value: v, from: o} }

// diagnostic is a problem of the object, with the name of its source.
func (o *Object) diagnostic(p yamlwalk.Problem) Diagnostic {
	d := Diagnostic{File: o.at.File, Line: p.Line, Col: p.Col, Path: p.Path, Got: p.Got, Want: p.Want, Rule: p.Rule}
	if o.lineless {
		d.Line, d.Col = 0, 0
	}
	return d
}

// byPrecedence returns the objects in order of precedence. Objects of equal precedence are in order of
// their ids, and then of their places, so that the order of the argument makes no difference. The result is the
// argument if that is in order, as the objects of files are.
func byPrecedence(objects []*Object) []*Object {
	order := func(a, b *Object) int {
		if a.Precedence != b.Precedence {
			return cmp.Compare(a.Precedence, b.Precedence)
		}
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name),
			strings.Compare(a.at.File, b.at.File), cmp.Compare(a.at.Line, b.at.Line))
	}
	if slices.IsSortedFunc(objects, order) {
		return objects
	}
	ordered := slices.Clone(objects)
	slices.SortStableFunc(ordered, order)
	return ordered
}
