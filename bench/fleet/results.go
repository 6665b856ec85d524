package main

import (
	"math"

	"breakwater.dev/bench/fleet/internal/fleet"
)

// result has the figures of one server in one configuration.
type result struct {
	server string
	rows   []row
	ready  float64 // seconds from the start until the server is ready
	load   float64 // seconds of CPU time for that
	synced int64   // memory after the first sync, in bytes
	end    int64   // memory at the end
	peak   int64
	counts fleet.Counts

	recording *recording
}

// row returns the row of a step; nil: it was not measured.
func (r *result) row(step string) *row {
	if r != nil {
		for i := range r.rows {
			if r.rows[i].step == step {
				return &r.rows[i]
			}
		}
	}
	return nil
}

// cpu returns the seconds of CPU time of a step; NaN: it was not measured.
func (r *result) cpu(step string) float64 {
	if w := r.row(step); w != nil {
		return w.cpu
	}
	return math.NaN()
}

// seconds returns how long a step took; NaN: it was not measured.
func (r *result) seconds(step string) float64 {
	if w := r.row(step); w != nil {
		return w.seconds
	}
	return math.NaN()
}

// bytes returns the bytes that a proxy received in a step; NaN: it was not measured.
func (r *result) bytes(step string) float64 {
	if w := r.row(step); w != nil {
		return w.bytes
	}
	return math.NaN()
}

// measured has all results of a configuration.
type measured struct {
	config               config
	before, ours, theirs *result // nil: not measured
}

func (m measured) results() (all []*result) {
	for _, r := range []*result{m.before, m.ours, m.theirs} {
		if r != nil {
			all = append(all, r)
		}
	}
	return all
}

// find returns the results of a configuration.
func find(all []measured, c config) (measured, bool) {
	for _, m := range all {
		if m.config == c {
			return m, true
		}
	}
	return measured{}, false
}

// steps returns the names of the steps of ours, in order.
func (m measured) steps() (names []string) {
	for _, w := range m.ours.rows {
		names = append(names, w.step)
	}
	return names
}
