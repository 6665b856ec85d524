package quorum

import (
	"slices"
	"time"

	"breakwater.dev/instant"
)

// The times of a list of addresses that changes, such as a DNS name's.
const (
	// Watch is for how long a leader has to have a majority of each list that was seen. Two leaders that learn of a change at
	// different times have a list in common then.
	Watch = time.Minute
	// Outdated is how old the last list may be.
	Outdated = 20 * time.Second
)

// list is a list of addresses, sorted.
type list struct {
	addresses []string
	seen      instant.Instant // when it was seen last
}

// meeting is who has answered at an address.
type meeting struct {
	id string
	at instant.Instant // when the greeting was sent
}

// backing is the promise of a replica, for which its address counts.
type backing struct {
	id    string
	until instant.Instant
}

// Addresses takes the list of addresses, which may be another one than before. A list that is empty changes nothing.
func (q *Quorum) Addresses(addresses []string, now instant.Instant) {
	if len(addresses) == 0 {
		return
	}
	q.lapse(now)
	sorted := slices.Clone(addresses)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	if len(q.lists) == 0 {
		q.watching = now
	}
	if n := len(q.lists); n > 0 {
		q.lists[n-1].seen = now // until just now it was the last one
	}
	q.lists = slices.DeleteFunc(q.lists, func(l list) bool { return slices.Equal(l.addresses, sorted) })
	q.lists = append(q.lists, list{sorted, now})
}

// inherit takes the lists of a replica that has watched for long enough, so that this one need not wait as long. sent is when the
// greeting was sent that was answered with them: if this replica was watching by then, it has missed no list.
func (q *Quorum) inherit(lists [][]string, sent, now instant.Instant) {
	if len(lists) == 0 || len(q.lists) == 0 || sent < q.watching || !q.o.Changing || q.watched(now) {
		return
	}
	q.watching = now.Add(-Watch)
	for _, addresses := range lists {
		if !slices.ContainsFunc(q.lists, func(l list) bool { return slices.Equal(l.addresses, addresses) }) {
			q.lists = slices.Insert(q.lists, 0, list{addresses, now})
		}
	}
}

// watched reports whether this replica knows all lists that count.
func (q *Quorum) watched(now instant.Instant) bool {
	if len(q.lists) == 0 {
		return false
	}
	return !q.o.Changing || now.Sub(q.watching) >= Watch && now.Sub(q.lists[len(q.lists)-1].seen) < Outdated
}

// counting returns the lists that count.
func (q *Quorum) counting(now instant.Instant) [][]string {
	var all [][]string
	for i, l := range q.lists {
		if i == len(q.lists)-1 || q.o.Changing && now.Sub(l.seen) < Watch {
			all = append(all, l.addresses)
		}
	}
	return all
}

// everywhere returns all addresses that count.
func (q *Quorum) everywhere(now instant.Instant) []string {
	all := slices.Concat(q.counting(now)...)
	slices.Sort(all)
	return slices.Compact(all)
}

// majority returns until when a majority of the addresses of each list supports this replica, counting only the replicas that
// counts accepts. The result may be past.
func (q *Quorum) majority(counts func(id string) bool, now instant.Instant) instant.Instant {
	if !q.watched(now) {
		return 0
	}
	var until instant.Instant
	for i, addresses := range q.counting(now) {
		var ends []instant.Instant
		for _, a := range addresses {
			if b, known := q.backers[a]; known && counts(b.id) {
				ends = append(ends, b.until)
			}
		}
		need := len(addresses)/2 + 1
		if len(ends) < need {
			return 0
		}
		slices.Sort(ends)
		if end := ends[len(ends)-need]; i == 0 || end < until {
			until = end
		}
	}
	return until
}

// meets returns how many addresses of the present list answer; 0: this replica cannot lead.
func (q *Quorum) meets(now instant.Instant) (n int) {
	if q.leaving || !q.watched(now) || now.Sub(q.born) < promise/2 { // others begin to count when they may promise
		return 0
	}
	self := false
	for _, a := range q.lists[len(q.lists)-1].addresses {
		if m, known := q.met[a]; known && now.Sub(m.at) < silence {
			self = self || m.id == q.o.Self.ID
			n++
		}
	}
	if !self {
		return 0
	}
	return n
}
