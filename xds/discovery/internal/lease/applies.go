package lease

import (
	"slices"
	"time"

	"breakwater.dev/gate"
	"breakwater.dev/wire"
)

// Apply notes that the proxy has layers as a set of gates has them. It keeps the gates of its other layers.
func (l *Leases) Apply(layers []string, set *gate.Set) {
	var now gate.Mix
	if l.applies != nil {
		now = *l.applies
	}
	for _, name := range layers {
		if part, ok := wire.ParseRuntimePart(name); ok {
			now[part] = set
			continue
		}
		for part := range now {
			if !slices.Contains(layers, wire.RuntimePart(part)) {
				now[part] = set
			}
		}
	}
	if l.applies == nil || *l.applies != now {
		l.applies = &now
	}
}

// Period is a time in which the proxy applies the same gates. It ends where the next one begins.
type Period struct {
	From  time.Time
	Gates *gate.Mix // nil: none
}

// Periods returns the gates that the proxy applies from now on, and the gates that are left when it drops the layers that are not renewed. There
// are no periods where it has dropped all.
func (l *Leases) Periods(now time.Time) []Period {
	applies := l.at(now)
	if applies == nil || *applies == (gate.Mix{}) {
		return nil
	}
	periods := []Period{{now, applies}}
	var ends []time.Time
	for part, set := range applies {
		if until := l.until(part); set != nil && !until.IsZero() {
			ends = append(ends, until)
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	ends = slices.CompactFunc(ends, time.Time.Equal)
	for i, end := range ends {
		if i == len(ends)-1 {
			return append(periods, Period{end, nil}) // the layers that never expire have no keys
		}
		periods = append(periods, Period{end, l.at(end)})
	}
	return periods
}

// until returns when the proxy drops a part of its layer; zero: never.
func (l *Leases) until(part int) time.Time {
	for _, name := range [...]string{wire.RuntimePart(part), wire.RuntimeLayer} {
		if e := l.all[name]; e != nil && !e.until.IsZero() {
			return e.until
		}
	}
	return time.Time{}
}

// at returns the gates that the proxy applies at a time if nothing is renewed until then.
func (l *Leases) at(now time.Time) *gate.Mix {
	if l.applies == nil {
		return nil
	}
	left := *l.applies
	for part := range left {
		if until := l.until(part); !until.IsZero() && !now.Before(until) {
			left[part] = nil
		}
	}
	if left == *l.applies {
		return l.applies // the same gates have one address, so that periods with them need little memory
	}
	return &left
}
