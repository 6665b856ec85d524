package roster

import (
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/peerspb"
)

// ViewOut writes a view.
func ViewOut(v *membership.View) *peerspb.View {
	m := &peerspb.View{Epoch: v.Epoch, Nonce: v.Nonce, Follows: v.Follows}
	for _, member := range v.Members {
		m.Members = append(m.Members, memberOut(member))
	}
	return m
}

// ViewIn reads a view.
func ViewIn(m *peerspb.View) membership.View {
	v := membership.View{Epoch: m.GetEpoch(), Nonce: m.GetNonce(), Follows: m.GetFollows()}
	for _, member := range m.GetMembers() {
		v.Members = append(v.Members, memberIn(member))
	}
	return v
}

func memberOut(m membership.Member) *peerspb.Replica {
	return &peerspb.Replica{Id: m.ID, Address: m.Address, Name: m.Name}
}

func memberIn(m *peerspb.Replica) membership.Member {
	return membership.Member{ID: m.GetId(), Address: m.GetAddress(), Name: m.GetName()}
}
