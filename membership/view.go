package membership

import (
	"context"
	"slices"
	"time"
)

// Member is one replica of the control plane.
type Member struct {
	// ID is random, and new for each process: a process that is started again at the same address is another replica.
	ID string `json:"id"`
	// Address is the host:port at which other replicas reach its port for proxies.
	Address string `json:"address"`
	// Name is for operators, such as the name of its pod.
	Name string `json:"name"`
}

// View is the list of members at one epoch. The zero value is the view before the first member.
type View struct {
	// Epoch grows by one with each view.
	Epoch uint64 `json:"epoch"`
	// Nonce is random. Two views of one epoch differ in it: a store that forgets a write can take another one in its place.
	Nonce string `json:"nonce"`
	// Follows is the nonce of the view that was in force just before; "": that is not known.
	Follows string `json:"follows,omitempty"`
	// Members are sorted by id.
	Members []Member `json:"members"`
}

// Has reports whether a replica is a member.
func (v *View) Has(id string) bool {
	return slices.ContainsFunc(v.Members, func(m Member) bool { return m.ID == id })
}

// Names returns the names of the members.
func (v *View) Names() []string {
	all := make([]string, len(v.Members))
	for i, m := range v.Members {
		all[i] = m.Name
	}
	return all
}

// Same reports whether v and o are the same view.
func (v *View) Same(o *View) bool { return v.Epoch == o.Epoch && v.Nonce == o.Nonce }

// Reading is the content of a registry at one moment.
type Reading struct {
	View View
	// Live are the replicas whose time to live is not over, the reader included, sorted by id.
	Live []Member
}

// Registry is a store that all replicas share, such as Redis. Its methods are safe for concurrent use.
type Registry interface {
	// Beat says that a replica is alive for as long as ttl, and returns what the registry has at the same moment.
	Beat(ctx context.Context, self Member, ttl time.Duration) (Reading, error)
	// Replace puts next in the place of old, and reports false where the registry has no longer old.
	Replace(ctx context.Context, old, next *View) (bool, error)
	// Leave says that a replica is no longer alive.
	Leave(ctx context.Context, id string) error
}
