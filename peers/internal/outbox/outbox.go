package outbox

import (
	"time"

	"breakwater.dev/breaker"
)

const (
	// Pause is how long outcomes wait for others, so that many of them make one message.
	Pause = 10 * time.Millisecond
	// again is how long a report may take to be confirmed. After that it is sent again.
	again = 600 * time.Millisecond
	// maxOutcomes is how many outcomes may wait for one replica. When there are more, the oldest are dropped.
	maxOutcomes = 65_536
)

// Item is the part of a report that belongs to one breaker.
type Item struct {
	Subject  breaker.Subject
	Outcomes []breaker.Reported
	Rejected uint64
	Settled  []Settled
	Hops     uint32 // how many replicas have passed it on
	OneIn    uint32 // the proxies of the reporter log one in OneIn successes
}

// Settled is the end of a probe whose permit came from another replica.
type Settled struct {
	Probe   uint32
	Outcome breaker.Outcome
	Took    time.Duration
	Unsent  bool
}

func (i *Item) outcomes() int { return len(i.Outcomes) + len(i.Settled) }

func (i *Item) size() int { return i.outcomes() + 1 }

// Report is a numbered list of items.
type Report struct {
	Number uint64
	Items  []*Item
	since  breaker.Instant // when the first of its outcomes came
	sent   breaker.Instant // when it was last sent
}

// Outbox has the reports to one replica. The zero value is empty.
type Outbox struct {
	Session uint64 // in which the reports are numbered, from 1
	Dropped uint64 // outcomes that were dropped, since too many waited

	waiting []*Item
	open    map[place]*Item // the items among them that take more outcomes
	since   breaker.Instant // when the first of them came
	urgent  bool
	sent    []*Report       // that have not arrived, in order
	next    breaker.Instant // none of them has to be sent again earlier
	last    uint64          // the number of the last report
	size    int             // outcomes and items, all together
}

// place says which outcomes share an item.
type place struct {
	of   breaker.Subject
	hops uint32
}

// Item returns the item that waits for outcomes of a breaker. The caller adds to it, and calls Added.
func (o *Outbox) Item(of breaker.Subject, hops uint32, now breaker.Instant) *Item {
	if len(o.waiting) == 0 {
		o.since, o.open = now, map[place]*Item{}
	}
	at := place{of, hops}
	i := o.open[at]
	if i == nil {
		i = &Item{Subject: of, Hops: hops}
		o.open[at], o.waiting = i, append(o.waiting, i)
		o.size++
	}
	return i
}

// Added says that n outcomes were added to an item, and whether the other replica has to have them at once. It drops the oldest
// outcomes where there are too many.
func (o *Outbox) Added(n int, urgent bool) {
	o.urgent = o.urgent || urgent
	o.size += n
	for _, r := range o.sent {
		if o.size <= maxOutcomes {
			return
		}
		o.drop(r.Items...)
		r.Items = nil // it goes on without items, since every number has to arrive
	}
	for o.size > maxOutcomes && len(o.waiting) > 1 {
		first := o.waiting[0]
		delete(o.open, place{first.Subject, first.Hops})
		o.drop(first)
		o.waiting = o.waiting[1:]
	}
}

func (o *Outbox) drop(items ...*Item) {
	for _, i := range items {
		o.size -= i.size()
		o.Dropped += uint64(i.outcomes())
	}
}

// Due returns when [Outbox.Take] may have the next report; ok is false where there is none.
func (o *Outbox) Due() (at breaker.Instant, ok bool) {
	switch {
	case len(o.waiting) > 0 && o.urgent:
		return o.since, true
	case len(o.waiting) > 0:
		return o.since.Add(Pause), true
	case len(o.sent) > 0:
		return o.next, true
	default:
		return 0, false
	}
}

// Take returns the reports that have to be sent now: the items that have waited long enough, and reports that may have got lost.
func (o *Outbox) Take(now breaker.Instant) (due []*Report) {
	o.next = now.Add(again)
	for _, r := range o.sent {
		if now >= r.sent.Add(again) {
			r.sent = now
			due = append(due, r)
		}
		o.next = min(o.next, r.sent.Add(again))
	}
	if len(o.waiting) == 0 || !o.urgent && now < o.since.Add(Pause) {
		return due
	}
	o.last++
	r := &Report{Number: o.last, Items: o.waiting, since: o.since, sent: now}
	o.sent = append(o.sent, r)
	o.waiting, o.open, o.urgent = nil, nil, false
	return append(due, r)
}

// Arrived says that all reports up to a number have arrived.
func (o *Outbox) Arrived(session, number uint64) {
	if session != o.Session {
		return
	}
	for len(o.sent) > 0 && o.sent[0].Number <= number {
		for _, i := range o.sent[0].Items {
			o.size -= i.size()
		}
		o.sent = o.sent[1:]
	}
}

// Oldest returns when the oldest outcome came that has not arrived; ok is false where all have.
func (o *Outbox) Oldest() (since breaker.Instant, ok bool) {
	for _, r := range o.sent {
		if len(r.Items) > 0 {
			return r.since, true
		}
	}
	return o.since, len(o.waiting) > 0
}

// Recall takes out the items whose breakers are to be reported elsewhere. Items that were sent stay, since they may have
// arrived, unless the replica is gone.
func (o *Outbox) Recall(moved func(breaker.Key) bool, gone bool) (items []*Item) {
	if gone {
		for _, r := range o.sent {
			kept := r.Items[:0]
			for _, i := range r.Items {
				if moved(i.Subject.Key) {
					items = append(items, i)
					o.size -= i.size()
					continue
				}
				kept = append(kept, i)
			}
			r.Items = kept
		}
	}
	kept := o.waiting[:0]
	for _, i := range o.waiting {
		if moved(i.Subject.Key) {
			items = append(items, i)
			o.size -= i.size()
			delete(o.open, place{i.Subject, i.Hops})
			continue
		}
		kept = append(kept, i)
	}
	o.waiting, o.urgent = kept, o.urgent && len(kept) > 0
	return items
}

// Inbox counts the reports of one replica. The zero value has none.
type Inbox struct {
	Session uint64
	upto    uint64          // all reports up to this one have come
	beyond  map[uint64]bool // further reports that have come
}

// Upto returns the number of the report up to which all have come.
func (i *Inbox) Upto() uint64 { return i.upto }

// Accept reports whether a report comes for the first time.
func (i *Inbox) Accept(session, number uint64) bool {
	switch {
	case session < i.Session:
		return false
	case session > i.Session:
		*i = Inbox{Session: session}
	}
	if number <= i.upto || i.beyond[number] {
		return false
	}
	if i.beyond == nil {
		i.beyond = map[uint64]bool{}
	}
	i.beyond[number] = true
	for i.beyond[i.upto+1] {
		delete(i.beyond, i.upto+1)
		i.upto++
	}
	return true
}
