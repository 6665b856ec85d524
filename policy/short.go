package policy

import (
	"maps"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy/internal/yamlwalk"
)

// shortPaths are the fields of the short form in the long one.
var shortPaths = map[string]string{
	"failure_threshold":        "spec.breaker.consecutiveFailures",
	"recovery_timeout_seconds": "spec.breaker.waitDurationInOpenState",
	"timeout_seconds":          "spec.timeout",
	"success_threshold":        "spec.breaker.successThreshold",
}

func shortFields(s *settings) yamlwalk.Fields {
	count := func(dst *uint32) yamlwalk.Field { return yamlwalk.Integer(dst, 0, breaker.MaxCount) }
	return yamlwalk.Fields{
		"failure_threshold":        count(&s.breaker.ConsecutiveFailures),
		"recovery_timeout_seconds": yamlwalk.Seconds(&s.breaker.WaitDurationInOpenState, time.Millisecond, breaker.MaxDuration),
		"timeout_seconds":          yamlwalk.Seconds(&s.timeout, 0, breaker.MaxDuration),
		"success_threshold":        count(&s.breaker.SuccessThreshold),
	}
}

// isShortForm tells whether a document means to be in the short form. Others have services too, as those of
// Docker Compose do, but with other fields.
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

// shortForm reads a document that has services: one policy for each entry,
// for the upstream of that name.
func (c *compiler) shortForm(file string, doc yamlwalk.Value) {
	doc.Object(yamlwalk.Fields{
		"services": func(v yamlwalk.Value) {
			count := 0
			v.Entries(func(service string, key, value yamlwalk.Value) {
				count++
				c.service(file, service, key, value)
			})
			if count == 0 && v.IsObject() {
				v.FailAs("an empty object", "at least one service", "missing-field")
			}
		},
	})
}

func (c *compiler) service(file, service string, key, value yamlwalk.Value) {
	if !isName(service) {
		key.Fail(wantName, "bad-name")
		return
	}
	at := place{Value: key, file: file}
	l := &layer{
		origin: Origin{Name: service, File: file, Line: key.Line()},
		root:   value,
		fields: shortFields,
		long:   shortPaths,
	}
	before := len(c.diagnostics)
	c.read(l)
	l.broken = len(c.diagnostics) > before
	t := target{kind: kindUpstream, upstream: service}
	c.addLayer(l, []targetRef{{target: t, at: at, nameAt: at}})
}
