package policy

import (
	"maps"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy/internal/yamlwalk"
)

// shortPaths are the paths, in the long form, of the short form's fields.
var shortPaths = map[string]string{
	"failure_threshold":          consecutivePath,
	"recovery_timeout_seconds":   "spec.breaker.waitDurationInOpenState",
	"timeout_seconds":            timeoutPath,
	"success_threshold":          "spec.breaker.successThreshold",
	"slow_call_duration_seconds": slowDurationPath,
}

// shortFields are the fields of an entry.
func shortFields(s *settings) yamlwalk.Fields {
	count := func(dst *uint32) yamlwalk.Field { return yamlwalk.Integer(dst, 0, breaker.MaxCount) }
	return yamlwalk.Fields{
		"failure_threshold":          count(&s.breaker.ConsecutiveFailures),
		"recovery_timeout_seconds":   yamlwalk.Seconds(&s.breaker.WaitDurationInOpenState, time.Millisecond, breaker.MaxDuration),
		"timeout_seconds":            yamlwalk.Seconds(&s.timeout, 0, breaker.MaxDuration),
		"success_threshold":          count(&s.breaker.SuccessThreshold),
		"slow_call_duration_seconds": yamlwalk.Seconds(&s.breaker.SlowCallDurationThreshold, 0, breaker.MaxDuration),
	}
}

// isShortForm reports whether a document is meant to be in the short form. Documents of other programs, such
// as Docker Compose, have services too, but with other fields.
func isShortForm(doc yamlwalk.Value) bool {
	services, ok := doc.Get("services")
	if !ok || doc.Has("kind") || !services.IsObject() {
		return false
	}
	known, all := slices.Collect(maps.Keys(shortPaths)), true
	silent := yamlwalk.Visitor{Report: func(yamlwalk.Problem) {}}
	services.With(silent).Entries(func(_ string, _, service yamlwalk.Value) {
		all = all && (service.IsObject() || service.Got() == "null")
		service.With(silent).Entries(func(field string, _, _ yamlwalk.Value) {
			_, near := yamlwalk.Nearest(field, known)
			all = all && near
		})
	})
	return all
}

// shortForm reads a document with services: each entry is a policy for the upstream of that name.
func (r *documents) shortForm(file string, doc yamlwalk.Value) {
	whole := &Object{at: Origin{File: file, Line: doc.Line()}} // for the problems that are not in an entry
	doc.With(yamlwalk.Visitor{Report: func(p yamlwalk.Problem) { r.found(whole, p) }}).Object(yamlwalk.Fields{
		"services": func(v yamlwalk.Value) {
			count := 0
			v.Entries(func(service string, key, value yamlwalk.Value) {
				count++
				if !isName(service) {
					key.Fail(wantName, "bad-name")
					return
				}
				r.objects = append(r.objects, &Object{
					ID: ID{Kind: KindPolicy, Name: service}, at: Origin{Name: service, File: file, Line: key.Line()},
					short: true, nameAt: key.Alone(), spec: value.Alone(), hasSpec: true,
				})
			})
			if count == 0 && v.IsObject() {
				v.FailAs("an empty object", "at least one service", "missing-field")
			}
		},
	})
	if len(whole.problems) > 0 {
		r.objects = append(r.objects, whole)
	}
}

// service reads an entry of the short form. The key is its name and its target.
func (r *reading) service(o *Object, base *settings) {
	l := &layer{from: o, reading: r, root: o.spec, fields: shortFields, long: shortPaths}
	r.checkAlone(l, base)
	at := o.place(o.nameAt)
	r.finish(l, []*targetRef{{target: target{kind: KindUpstream, upstream: o.Name}, at: at, nameAt: at}})
}
