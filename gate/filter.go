package gate

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

// LogFilter is what proxies log beside samples, of all calls. The zero value means the defaults.
type LogFilter struct {
	// Status is the lowest HTTP status to log, 100 to 599; 0: 500.
	Status uint32
	// Slow is the shortest duration to log, in whole milliseconds; 0: 2 s.
	Slow time.Duration
	// Gone has calls logged whose callers left, however soon.
	Gone bool
}

// FilterFor returns what proxies have to log so that each breaker hears what it has to know: in the data path Adaptive all
// failures and slow calls, and in Inline what is not known at the headers of a response.
func FilterFor(set *policy.Set) LogFilter {
	f := LogFilter{Status: 500, Slow: breaker.MaxDuration}
	found := false
	for _, u := range set.Upstreams {
		for _, r := range u.Routes {
			if r.Breaker == nil || u.Protocol == policy.TCP {
				continue
			}
			found = true
			for status := uint32(100); r.Breaker.DataPath == policy.Adaptive && status < f.Status; status++ {
				if r.Breaker.Classify.HTTP(int(status)).Failed() {
					f.Status = status
				}
			}
			if slow := r.Breaker.Spec.Config.SlowCallDurationThreshold; slow > 0 {
				f.Slow = min(f.Slow, slow)
			}
			f.Gone = f.Gone || r.Breaker.Spec.ClientGone == breaker.GoneFailure
		}
	}
	if !found {
		return LogFilter{}
	}
	return f
}
