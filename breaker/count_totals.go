package breaker

// totals are the totals of [Counts] that every breaker keeps.
type totals struct{ rejected, successes, failures, timeouts, slow, ignored uint64 }

// add counts n calls that have ended.
func (t *totals) add(o Outcome, slow bool, n uint64) {
	switch o {
	case Success:
		t.successes += n
	case Timeout:
		t.timeouts += n
		t.failures += n
	case Failure:
		t.failures += n
	case Ignored:
		t.ignored += n
		return
	case Abandoned:
		t.ignored += n
	}
	if slow {
		t.slow += n
	}
}
