package traffic

import (
	"errors"
	"slices"
	"sync"
	"time"
)

// Times collects times.
type Times struct {
	mu  sync.Mutex
	all []time.Time
}

// Add adds a time.
func (s *Times) Add(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, t)
}

// Sorted returns all times, the earliest one first.
func (s *Times) Sorted() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(slices.Values(s.all), time.Time.Compare)
}

// LastToReject returns the time at which the last proxy began to reject. calls has the calls through each proxy.
func LastToReject(calls [][]Call) (last time.Time, err error) {
	for _, all := range calls {
		first := firstReject(all)
		if first.IsZero() {
			return last, errors.New("a proxy did not reject")
		}
		if first.After(last) {
			last = first
		}
	}
	return last, nil
}

// firstReject returns the time of the first rejected call after the last admitted one, or the zero time if there is none.
func firstReject(all []Call) (first time.Time) {
	slices.SortFunc(all, func(x, y Call) int { return x.Done.Compare(y.Done) })
	for _, c := range all {
		switch {
		case c.Status != 503:
			first = time.Time{}
		case first.IsZero():
			first = c.Done
		}
	}
	return first
}
