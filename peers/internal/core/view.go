package core

import (
	"maps"

	"breakwater.dev/breaker"
	"breakwater.dev/membership"
	"breakwater.dev/peers/internal/peerspb"
	"breakwater.dev/peers/internal/roster"
)

// Renew says that this replica is surely a member, by the epoch of its view, until an instant; see [roster.Roster.Renew].
func (c *Core) Renew(epoch uint64, asked, until, now breaker.Instant) {
	c.roster.Renew(epoch, asked, until)
	c.Resume(now)
}

// Leave has other replicas take all breakers.
func (c *Core) Leave(now breaker.Instant) {
	c.roster.Leaving = true
	c.beats(now)
	c.replace(now)
}

// Left reports whether all breakers have been taken by other replicas, or there is no other replica.
func (c *Core) Left() bool { return len(c.giving) == 0 }

// learnView takes a view of another replica.
func (c *Core) learnView(m *peerspb.View, now breaker.Instant) {
	if m.GetEpoch() > c.Epoch() {
		c.TakeView(roster.ViewIn(m), now)
	}
}

// TakeView takes a view of the members. A view that is older than the one in force is ignored.
func (c *Core) TakeView(v membership.View, now breaker.Instant) {
	before := c.table.Load().places
	changed, follows := c.roster.Apply(v, now)
	if !changed {
		return
	}
	if follows {
		c.before = before.Owner
	}
	maps.DeleteFunc(c.peers, func(id string, _ *Peer) bool { return c.roster.Peer(id) == nil })
	c.replace(now)
	c.fence(now)
	c.before = nil
	c.beats(now) // replicas that do not know it must stop to act by the old view
}

// CurrentView returns the view in force.
func (c *Core) CurrentView() *membership.View {
	v, _ := c.roster.View()
	return v
}

// Epoch returns the epoch of the view in force.
func (c *Core) Epoch() uint64 { return c.CurrentView().Epoch }

// fence has this replica give no permits of breakers that it has become the owner of, until the permits have run out that the
// owner before may have given. A replica that has missed a view cannot know who that was.
func (c *Core) fence(now breaker.Instant) {
	places := c.table.Load().places
	for key, h := range c.holds {
		if places.Owner(key) == c.o.Self.ID && (c.before == nil || c.before(key) != c.o.Self.ID) {
			h.fence = max(h.fence, c.fenceAfter(key, now))
		}
	}
}

// fenceAfter returns when no permit is valid any longer that another owner may give from now on.
func (c *Core) fenceAfter(key breaker.Key, now breaker.Instant) breaker.Instant {
	s := c.SpecOf(key)
	if s == nil {
		return now.Add(roster.Lease)
	}
	return now.Add(roster.Lease + s.Lease)
}

// Owns reports whether this replica is the owner of a breaker, and surely still is.
func (c *Core) Owns(key breaker.Key, now breaker.Instant) bool {
	return c.table.Load().places.Owner(key) == c.o.Self.ID && c.roster.Certain(now)
}

// MayGrant reports whether this replica may give permits of a breaker that is here.
func (c *Core) MayGrant(key breaker.Key, now breaker.Instant) bool {
	h := c.holds[key]
	return h != nil && now >= h.fence && c.Owns(key, now)
}

// Awake notices that the process has stood still.
func (c *Core) Awake(now breaker.Instant) {
	if still := c.roster.Awake(now); still > 0 {
		c.o.Log.Warn("the process has stood still; it gives no permits until other replicas confirm that it is still a member", "for", still.String())
		c.beats(now)
	}
}

// InDoubt reports whether the process has stood still, so that its breakers may be another replica's.
func (c *Core) InDoubt(now breaker.Instant) bool {
	c.Awake(now)
	return c.roster.InDoubt(now)
}

// Resume delivers the transitions that were made in doubt, when that is over.
func (c *Core) Resume(now breaker.Instant) {
	if len(c.held) == 0 || c.roster.InDoubt(now) {
		return
	}
	held := c.held
	c.held = nil
	for _, t := range held {
		c.deliver(t, now)
	}
}
