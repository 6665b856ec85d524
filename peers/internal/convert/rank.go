package convert

import (
	"cmp"

	"breakwater.dev/breaker"
	"breakwater.dev/peers/internal/peerspb"
)

// Rank decides between two states of one breaker that two replicas have after they were cut off from each other. The greater
// one is in force.
type Rank struct {
	// HandEpoch and HandGeneration belong to the last change by hand; 0: there was none.
	HandEpoch, HandGeneration uint64
	// Epoch is that in which the owner took the breaker over, or changed its state last.
	Epoch      uint64
	Generation uint64
	State      breaker.State
}

// Compare returns a negative number where r is below o, and a positive one where it is above.
func (r Rank) Compare(o Rank) int {
	return cmp.Or(
		cmp.Compare(r.HandEpoch, o.HandEpoch), cmp.Compare(r.HandGeneration, o.HandGeneration),
		cmp.Compare(r.Epoch, o.Epoch), cmp.Compare(r.Generation, o.Generation), cmp.Compare(r.State, o.State),
	)
}

func rankOut(r Rank) *peerspb.Rank {
	return &peerspb.Rank{
		HandEpoch: r.HandEpoch, HandGeneration: r.HandGeneration, Epoch: r.Epoch, Generation: r.Generation,
	}
}

func rankIn(m *peerspb.Rank, s breaker.State) Rank {
	return Rank{
		HandEpoch: m.GetHandEpoch(), HandGeneration: m.GetHandGeneration(), Epoch: m.GetEpoch(), Generation: m.GetGeneration(), State: s,
	}
}
