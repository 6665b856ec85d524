package gate

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
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
}

// FilterFor returns the filter that selects the calls that the breakers of a policy need. In the data path Adaptive these
// are all failures and slow calls. In Inline they are the calls whose outcome is not known at the headers of the response.
func FilterFor(set *policy.Set) LogFilter {
	f := LogFilter{Status: 500, Slow: breaker.MaxDuration}
	found := false
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
		f.Gone = f.Gone || r.Breaker.Spec.ClientGone == breaker.GoneFailure
	}
	if !found {
		return LogFilter{}
	}
	return f
}
