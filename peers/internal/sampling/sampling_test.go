package sampling

import (
	"testing"
	"time"

	"breakwater.dev/breaker"
)

func failure(generation uint64) []breaker.Reported {
	return []breaker.Reported{{Outcome: breaker.Failure, Generation: generation}}
}

func successes(oneIn uint32) []breaker.Reported {
	return []breaker.Reported{{Outcome: breaker.Success, OneIn: oneIn}}
}

// TestFailuresBesideASample: a failure counts as one from the sparsest sample of other replicas, and not of its own.
func TestFailuresBesideASample(t *testing.T) {
	var own Own
	var others Others
	now := breaker.Instant(time.Hour)
	expect := func(what string, outcomes []breaker.Reported, want uint32) {
		t.Helper()
		if got := outcomes[0].OneIn; got != want {
			t.Errorf("%s counts as one from a sample of one in %d, want %d", what, got, want)
		}
	}
	ours := func(what string, outcomes []breaker.Reported, want uint32) {
		t.Helper()
		own.Took(outcomes, now)
		expect(what, outcomes, want)
	}
	theirs := func(what, by string, outcomes []breaker.Reported, want uint32) {
		t.Helper()
		others.Took(by, outcomes, &own, now)
		expect(what, outcomes, want)
	}
	ours("a failure while nothing is known", failure(0), 0)
	theirs("a success of b", "b", successes(8), 8)
	ours("our failure, beside b", failure(0), 8)
	ours("our failure of a call that had a permit", failure(3), 0)
	ours("our success", successes(4), 4)
	theirs("a failure of b, beside us", "b", failure(0), 4)
	theirs("a success of b", "b", successes(8), 8)
	theirs("a failure of c, beside b and us", "c", failure(0), 8)
	now = now.Add(lasts - 1)
	ours("our failure, a little later", failure(0), 8)
	now = now.Add(1)
	ours("our failure, when no sample is fresh", failure(0), 0)
	theirs("a failure of b then", "b", failure(0), 0)
	theirs("a success of c, of which all are logged", "c", successes(1), 1)
	ours("our failure beside c", failure(0), 0)
}

// TestOutcomesThatSayNothing: calls that are still running, corrections and uploads do not tell how densely a proxy logs.
func TestOutcomesThatSayNothing(t *testing.T) {
	for _, one := range []breaker.Reported{
		{Running: true, OneIn: 9}, {Corrects: true, OneIn: 9}, {Uploading: 1, OneIn: 9},
	} {
		var own Own
		var others Others
		others.Took("b", []breaker.Reported{one}, &own, 1)
		ours := failure(0)
		own.Took(ours, 1)
		if ours[0].OneIn != 0 {
			t.Errorf("%+v makes our failure one from a sample of one in %d", one, ours[0].OneIn)
		}
	}
	correction := []breaker.Reported{{Outcome: breaker.Failure, Corrects: true}}
	var own Own
	var others Others
	others.Took("b", successes(8), &own, 1)
	if own.Took(correction, 2); correction[0].OneIn != 0 {
		t.Errorf("a correction counts as one from a sample of one in %d", correction[0].OneIn)
	}
}
