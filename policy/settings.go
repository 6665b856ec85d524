package policy

import (
	"maps"
	"math"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/outlier"
	"breakwater.dev/policy/internal/yamlwalk"
)

// settings are the settings of policies for one upstream or route. Each policy is laid
// over the less specific one by reading it into a copy: the fields that it has
// replace the copy's, and the others stay. There is no other merge.
type settings struct {
	timeout  time.Duration
	headers  time.Duration  // responseHeaderTimeout
	idle     time.Duration  // idleTimeout
	breaker  breaker.Config // with both kinds of window; config returns the one in force
	counted  bool           // the window is CountBased
	scope    string
	dataPath DataPath
	failure  codes
	ignore   codes
	outcomes *Classifier        // made from failure and ignore
	gone     breaker.ClientGone // how a call counts whose caller leaves before its headers
	fallback fallback
	failOpen bool
	limits   ConnectionLimits
	high     []yamlwalk.Value // the values written for the high priority, least specific first
	outlier  outlier.Config

	places places
	layers []*layer // the policies, the most specific first
	broken bool     // one of them has a problem of its own
}

func newSettings(d Defaults) *settings {
	s := &settings{
		timeout:  d.Timeout,
		breaker:  d.Breaker,
		counted:  d.Breaker.WindowSize > 0,
		scope:    scopeMesh,
		dataPath: Adaptive,
		failure: codes{
			status: []string{"5xx"},
			grpc:   []string{"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN", "DATA_LOSS", "RESOURCE_EXHAUSTED"},
		},
		gone:     breaker.GoneSlow,
		fallback: fallback{status: 503, contentType: "text/plain"},
		failOpen: true,
		limits:   d.Limits,
		outlier:  d.Outlier,
		places:   places{},
	}
	s.outcomes = s.classifier()
	return s
}

const (
	scopeMesh  = "Mesh"
	scopeNode  = "Node"
	timeBased  = "TimeBased"
	countBased = "CountBased"
)

// clone returns settings to lay another policy over. Slices, maps and pointers that
// a policy writes are replaced as a whole, so they can be shared.
func (s *settings) clone() *settings {
	c := *s
	c.places = maps.Clone(s.places)
	c.layers = slices.Clone(s.layers)
	c.high = slices.Clone(s.high)
	return &c
}

// layer is one BreakerPolicy document, or one entry of the short form.
type layer struct {
	from    *Object
	reading *reading
	nameAt  place
	named   bool           // it has a name, which must be unique
	root    yamlwalk.Value // the spec, or the entry
	targets []target
	broken  bool
	// fields returns the fields of root, which write into settings.
	fields func(*settings) yamlwalk.Fields
	// long has the path in the long form for each field, where root is an entry of the short form.
	long map[string]string
}

// apply reads the policy into s.
func (l *layer) apply(s *settings, report func(yamlwalk.Problem)) bool {
	rank := len(s.layers) + 1
	s.layers = slices.Insert(s.layers, 0, l)
	s.broken = s.broken || l.broken
	at := func(v yamlwalk.Value) place { return place{Value: v, from: l.from, rank: rank} }
	s.places["spec"] = at(l.root)
	if l.long != nil {
		s.places["spec.breaker"] = at(l.root)
	}
	return l.root.With(yamlwalk.Visitor{
		Report: report,
		Visit: func(v yamlwalk.Value) {
			path := v.Path()
			if l.long != nil {
				path = l.long[v.Name()]
			}
			s.places[path] = at(v)
		},
	}).Object(l.fields(s))
}

// over returns the policy laid over s. Its problems were reported when it was read.
func (l *layer) over(s *settings) *settings {
	s = s.clone()
	l.apply(s, func(yamlwalk.Problem) {})
	return s
}

// fields returns the fields of a BreakerPolicy's spec. It skips the targets.
func (s *settings) fields() yamlwalk.Fields {
	return yamlwalk.Fields{
		"targetRefs":            func(yamlwalk.Value) {},
		"mode":                  reader(&s.breaker.Mode),
		"dataPath":              yamlwalk.OneOf(&s.dataPath, Adaptive, Inline),
		"scope":                 yamlwalk.OneOf(&s.scope, scopeMesh, scopeNode),
		"timeout":               yamlwalk.Duration(&s.timeout, 0, breaker.MaxDuration),
		"responseHeaderTimeout": yamlwalk.Duration(&s.headers, 0, breaker.MaxDuration),
		"idleTimeout":           yamlwalk.Duration(&s.idle, 0, breaker.MaxDuration),
		"breaker":               func(v yamlwalk.Value) { v.Object(s.breakerFields()) },
		"classify":              s.classify,
		"fallback":              s.readFallback,
		"failOpen":              yamlwalk.Bool(&s.failOpen),
		"connectionLimits":      s.connectionLimits,
		"outlierDetection":      func(v yamlwalk.Value) { v.Object(outlierFields(&s.outlier)) },
	}
}

// breakerFields returns the fields that [breaker.Fields] lists, for the object "breaker".
// [breaker.Config.Validate] says which values are allowed.
func (s *settings) breakerFields() yamlwalk.Fields {
	r := newReaders()
	for _, f := range breaker.Fields() {
		r.add(f.Path, f.Pointer(&s.breaker))
	}
	delete(r.fields, "mode") // it is beside "breaker"
	r.fields["slidingWindow"] = func(v yamlwalk.Value) { s.slidingWindow(v, r.objects["slidingWindow"]) }
	return r.fields
}

// slidingWindow reads a size, which makes the window CountBased, or a duration, which
// makes it TimeBased, whatever it was before. The type says the same in a word, or
// returns to the kind of window that a less specific policy has given a value for.
func (s *settings) slidingWindow(v yamlwalk.Value, fields yamlwalk.Fields) {
	var kind string
	fields["type"] = yamlwalk.OneOf(&kind, timeBased, countBased)
	fields["size"] = yamlwalk.Integer(&s.breaker.WindowSize, 1, breaker.MaxWindowSize) // 0 would mean TimeBased
	v.Object(fields)
	size, hasSize := v.Get("size")
	duration, hasDuration := v.Get("duration")
	switch {
	case kind == countBased && hasDuration:
		duration.Fail("left out: a CountBased window has a size", "exclusive-fields")
	case kind == timeBased && hasSize:
		size.Fail("left out: a TimeBased window has a duration", "exclusive-fields")
	case hasSize && hasDuration:
		v.FailAs("size and duration", "one of them: a CountBased window has a size, a TimeBased one a duration", "exclusive-fields")
	}
	s.counted = kind == countBased || kind == "" && (hasSize || s.counted && !hasDuration)
}

// config returns the breaker's configuration with one kind of window. The value of the
// other kind is out of force and is cleared, so that it does not make two
// configurations differ.
func (s *settings) config() breaker.Config {
	b := s.breaker
	if s.counted && b.WindowSize > 0 {
		b.WindowDuration = 0
	} else {
		b.WindowSize = 0
	}
	// With timeout 0s (long polls, streams), calls are never slow unless
	// slowCallDurationThreshold was written too. A responseHeaderTimeout says that headers
	// are expected soon, so with one the threshold is in force.
	if _, meant := s.places.blame(slowDurationPath, timeoutPath); s.timeout == 0 && s.headers == 0 && !meant {
		b.SlowCallDurationThreshold = 0
	}
	return b
}

func (s *settings) connectionLimits(v yamlwalk.Value) {
	fields := limitFields(&s.limits.Default)
	fields["perEndpointMaxConnections"] = yamlwalk.Integer(&s.limits.PerEndpointMaxConnections, 0, math.MaxUint32)
	fields["high"] = func(v yamlwalk.Value) {
		var shape Limits
		if v.Object(limitFields(&shape)) {
			s.high = append(s.high, v)
		}
	}
	v.Object(fields)
	preferRetries(&s.limits.Default, v)
}

// resolvedLimits returns the limits of both priorities. A field that was not written for
// the high priority has the value of the default priority.
func (s *settings) resolvedLimits() ConnectionLimits {
	limits := s.limits
	if s.places.wrote("spec.connectionLimits") {
		limits.High = limits.Default
	}
	silent := yamlwalk.Visitor{Report: func(yamlwalk.Problem) {}}
	for _, v := range s.high {
		v.With(silent).Object(limitFields(&limits.High))
		preferRetries(&limits.High, v)
	}
	return limits
}

func limitFields(l *Limits) yamlwalk.Fields {
	count := func(dst *uint32) yamlwalk.Field { return yamlwalk.Integer(dst, 0, math.MaxUint32) }
	return yamlwalk.Fields{
		"maxConnections":     count(&l.MaxConnections),
		"maxPendingRequests": count(&l.MaxPendingRequests),
		"maxRequests":        count(&l.MaxRequests),
		"maxRetries":         count(&l.MaxRetries),
		"maxConnectionPools": count(&l.MaxConnectionPools),
		"trackRemaining":     yamlwalk.Bool(&l.TrackRemaining),
		"retryBudget": func(v yamlwalk.Value) {
			b := RetryBudget{Percent: 2_000, MinConcurrency: 3}
			if l.RetryBudget != nil {
				b = *l.RetryBudget
			}
			if v.Object(yamlwalk.Fields{
				"percent":        yamlwalk.Percent(&b.Percent),
				"minConcurrency": count(&b.MinConcurrency),
				"interval":       yamlwalk.Duration(&b.Interval, 0, breaker.MaxDuration),
			}) {
				l.RetryBudget = &b
			}
		},
	}
}

// preferRetries drops an inherited retry budget where v has maxRetries and no budget.
// Envoy ignores max_retries beside a budget, and a limit that was written is not meant to
// be ignored.
func preferRetries(l *Limits, v yamlwalk.Value) {
	if v.Has("maxRetries") && !v.Has("retryBudget") {
		l.RetryBudget = nil
	}
}
