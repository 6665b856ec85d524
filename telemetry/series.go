package telemetry

import (
	"slices"
	"sync/atomic"

	dto "github.com/prometheus/client_model/go"

	"breakwater.dev/breaker"
)

// seriesTable is what is counted here, for each breaker of the policy. It is
// never changed: a new policy makes a new one.
type seriesTable struct {
	byKey map[breaker.Key]*series
}

// next returns the table for specs. What both policies have, it takes over.
func (st *seriesTable) next(specs []breaker.Spec) *seriesTable {
	byKey := make(map[breaker.Key]*series, len(specs))
	for _, spec := range specs {
		s := st.byKey[spec.Key]
		if s == nil {
			s = newSeries(spec.Key)
		}
		byKey[spec.Key] = s
	}
	return &seriesTable{byKey: byKey}
}

// series are one breaker's counts that the breaker itself does not keep.
type series struct {
	labels      []*dto.LabelPair // route and service, the order that the registry wants
	transitions []atomic.Uint64  // by index in edges
	last        atomic.Pointer[breaker.Transition]
	opened      histogram // how long it was open
	calls       histogram // how long its calls took
}

func newSeries(key breaker.Key) *series {
	return &series{
		labels:      []*dto.LabelPair{pair("route", key.Route), pair("service", key.Upstream)},
		transitions: make([]atomic.Uint64, len(edges)),
		opened:      newHistogram(openBounds),
		calls:       newHistogram(callBounds),
	}
}

func pair(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

func (s *series) observe(t breaker.Transition) {
	if i := slices.Index(edges, t.Edge); i >= 0 {
		s.transitions[i].Add(1)
	}
	if t.Edge.From == breaker.Open {
		s.opened.observe(t.At.Sub(t.Since))
	}
	s.last.Store(&t)
}
