package policy

// Limits on the diagnostics that are kept, so that a hostile file costs bounded memory.
const (
	maxDiagnostics   = 1000 // for all objects together
	leastDiagnostics = 10   // for each object, even if there are too many in all
)

// ledger keeps the diagnostics of objects, in the order in which they were found.
type ledger struct {
	entries []entry // each once: a problem that is found in two ways is one problem
	known   map[entry]bool
	kept    map[*Object]int
	counts  map[*Object]int // also counts the diagnostics that are not kept
}

// entry is a diagnostic and the object that it is about.
type entry struct {
	object *Object
	Diagnostic
}

// add keeps a diagnostic of an object, or counts it where there are too many.
func (l *ledger) add(o *Object, d Diagnostic) {
	e := entry{o, d}
	if l.known[e] {
		return
	}
	l.init()
	l.counts[o]++
	if len(l.entries) >= maxDiagnostics && l.kept[o] >= leastDiagnostics {
		return
	}
	l.known[e] = true
	l.kept[o]++
	l.entries = append(l.entries, e)
}

// init makes the maps, which most ledgers do not need.
func (l *ledger) init() {
	if l.known == nil {
		l.known, l.kept, l.counts = map[entry]bool{}, map[*Object]int{}, map[*Object]int{}
	}
}

// count counts diagnostics of an object that are not kept.
func (l *ledger) count(o *Object, n int) {
	if n > 0 {
		l.init()
		l.counts[o] += n
	}
}

// take adds all diagnostics of another ledger.
func (l *ledger) take(other *ledger) {
	for _, e := range other.entries {
		l.add(e.object, e.Diagnostic)
	}
	for o, n := range other.counts {
		l.count(o, n-other.kept[o])
	}
}

// diagnostics returns first and the diagnostics of all objects, in order of place: at most [maxDiagnostics],
// and one more if some are left out.
func (l *ledger) diagnostics(first Diagnostics) Diagnostics {
	total := len(first)
	for _, n := range l.counts {
		total += n
	}
	all := first
	for _, e := range l.entries[:min(len(l.entries), max(0, maxDiagnostics-len(first)))] {
		all = append(all, e.Diagnostic)
	}
	return all.sorted(total > maxDiagnostics)
}

// byObject returns the diagnostics of each object that has any.
func (l *ledger) byObject() map[*Object]Diagnostics {
	all := map[*Object]Diagnostics{}
	for _, e := range l.entries {
		all[e.object] = append(all[e.object], e.Diagnostic)
	}
	for o, ds := range all {
		all[o] = ds.sorted(l.counts[o] > l.kept[o])
	}
	return all
}
