package gate

import (
	"maps"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
)

// LogFilter selects the calls that proxies must log in addition to samples. A call is logged if one of the fields
// selects it. The zero value stands for the defaults.
type LogFilter struct {
	// Status is the lowest HTTP status to log, 100 to 599; 0: 500.
	Status uint32
	// Slow is the shortest duration to log, in whole milliseconds; 0: 2 s.
	Slow time.Duration
	// Gone selects all calls whose callers left, even fast ones.
	Gone bool
	// Running selects the calls that have not ended, and have no response yet, while they have lasted for as long as one of these
	// windows says. The zero value of the first window is 2 s and what follows, and the others' is no call.
	Running [wire.RunningWindows]Window
}

// Window is the calls that have lasted From to Until, in whole milliseconds.
type Window struct{ From, Until time.Duration }

// FilterFor returns the filter that selects the calls that the breakers of a policy need. In the data path Adaptive these
// are all failures and slow calls. In Inline they are the calls whose outcome is not known at the headers of the response.
func FilterFor(set *policy.Set) LogFilter {
	f := LogFilter{Status: 500, Slow: breaker.MaxDuration}
	found, running := false, map[time.Duration]bool{}
	for u, r := range set.Breakers() {
		if u.Protocol == policy.TCP {
			continue
		}
		found = true
		if first := r.Breaker.Classify.FirstFailure(); r.Breaker.DataPath == policy.Adaptive && first > 0 {
			f.Status = min(f.Status, first)
		}
		if slow := r.Breaker.Spec.Config.SlowCallDurationThreshold; slow > 0 {
			f.Slow = min(f.Slow, slow)
		}
		if c := &r.Breaker.Spec.Config; r.Breaker.DataPath == policy.Adaptive && c.TripsOnSlowCalls() {
			running[c.SlowCallDurationThreshold] = true
		}
		f.Gone = f.Gone || r.Breaker.Spec.ClientGone == breaker.GoneFailure
	}
	if !found {
		return LogFilter{}
	}
	f.Running = windowsOf(slices.Sorted(maps.Keys(running)))
	return f
}

// windowsOf returns windows in which a proxy looks at a call after each of the thresholds, which are sorted; see [wire.RunningSpan]. Where
// there are more thresholds than windows, those that are close together share a window, in which a call may be logged more often.
func windowsOf(thresholds []time.Duration) (w [wire.RunningWindows]Window) {
	var all []Window
	for _, t := range thresholds {
		all = append(all, Window{t, t + wire.RunningSpan})
	}
	gap := func(i int) time.Duration { return all[i+1].From - all[i].Until }
	for len(all) > 1 {
		closest := 0
		for i := range len(all) - 1 {
			if gap(i) < gap(closest) {
				closest = i
			}
		}
		if len(all) <= len(w) && gap(closest) > 0 {
			break
		}
		all[closest].Until = all[closest+1].Until
		all = slices.Delete(all, closest+1, closest+2)
	}
	if len(all) == 0 {
		all = []Window{{breaker.MaxDuration, breaker.MaxDuration}}
	}
	copy(w[:], all)
	return w
}
