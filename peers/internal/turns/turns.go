package turns

import (
	"slices"
	"time"

	"breakwater.dev/breaker"
)

// lasts is for how long a replica whose proxies refused calls gets turns.
const lasts = time.Minute

// Turns are the turns of the replicas at one breaker. At the zero value it is the turn of no replica.
type Turns struct {
	// Current is the replica whose turn it is.
	Current string

	wants map[string]breaker.Instant // by a replica: when its proxies last refused a call
}

// Wants notes that the proxies of a replica refused calls at an instant.
func (t *Turns) Wants(replica string, at breaker.Instant) {
	if t.wants == nil {
		t.wants = map[string]breaker.Instant{}
	}
	t.wants[replica] = max(t.wants[replica], at)
}

// Next begins the turn of the next replica whose proxies want calls and which is present. Where there is none, it is the turn
// of self.
func (t *Turns) Next(self string, present func(replica string) bool, now breaker.Instant) {
	var wants []string
	for replica, at := range t.wants {
		switch {
		case now.Sub(at) >= lasts:
			delete(t.wants, replica)
		case present(replica):
			wants = append(wants, replica)
		}
	}
	if len(wants) == 0 {
		t.Current = self
		return
	}
	slices.Sort(wants)
	i, _ := slices.BinarySearch(wants, t.Current+"\x00") // the first one after the last turn
	t.Current = wants[i%len(wants)]
}
