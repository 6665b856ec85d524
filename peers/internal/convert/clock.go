package convert

import (
	"time"

	"breakwater.dev/breaker"
)

// at is the moment at which a message is written or read.
type at breaker.Instant

// age returns how long ago an instant was.
func (a at) age(i breaker.Instant) int64 { return int64(breaker.Instant(a) - i) }

// past returns the instant that was an age ago. It is not in the future, and never 0, which some fields take for not known.
func (a at) past(age int64) breaker.Instant {
	return known(breaker.Instant(a) - breaker.Instant(bounded(max(age, 0))))
}

// ageIfKnown is like age for an instant that is 0 where it is not known. The age is then below 0.
func (a at) ageIfKnown(i breaker.Instant) int64 {
	if i == 0 {
		return -1
	}
	return max(a.age(i), 0)
}

// pastIfKnown reads what ageIfKnown has written.
func (a at) pastIfKnown(age int64) breaker.Instant {
	if age < 0 {
		return 0
	}
	return a.past(age)
}

// left returns how far away an instant is.
func (a at) left(i breaker.Instant) int64 { return int64(i - breaker.Instant(a)) }

// end returns the instant that is so far away. It is never 0, which means that there is no end.
func (a at) end(left int64) breaker.Instant {
	return known(breaker.Instant(a) + breaker.Instant(bounded(left)))
}

// known returns an instant, or the one just before it if that is 0.
func known(i breaker.Instant) breaker.Instant {
	if i == 0 {
		return -1
	}
	return i
}

// century is the greatest distance that is read, so that sums of instants do not overflow.
const century = int64(100 * 365 * 24 * time.Hour)

func bounded(d int64) int64 { return min(max(d, -century), century) }

// duration returns a length of time, which is not negative.
func duration(d int64) time.Duration { return time.Duration(min(max(d, 0), century)) }
