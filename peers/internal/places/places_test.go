package places

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
)

// id returns an id as processes have it: 16 hexadecimal digits.
func id(random *rand.Rand) string { return fmt.Sprintf("%016x", random.Uint64()) }

// keyed returns the keys of n breakers with names that differ in a number only, as those in a policy often do.
func keyed(n int) (keys []breaker.Key) {
	for i := range n {
		keys = append(keys, breaker.Key{Upstream: fmt.Sprintf("service-%d", i/3), Route: []string{"", "read", "write"}[i%3]})
	}
	return keys
}

// TestOwnersAreSpreadEvenly shows that each member owns its share of the breakers, whatever their ids are. A share of n breakers among m members
// has a standard deviation of about sqrt(n/m); six of these are allowed.
func TestOwnersAreSpreadEvenly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	keys := keyed(9_000)
	for _, members := range []int{2, 3, 5, 9} {
		for range 20 {
			var ids []string
			for range members {
				ids = append(ids, id(random))
			}
			m := New(&Reach{Self: ids[0], Members: ids})
			owns := map[string]int{}
			for _, key := range keys {
				owns[m.Owner(key)]++
			}
			share := len(keys) / members
			slack := 6 * sqrt(share)
			for _, one := range ids {
				if got := owns[one]; got < share-slack || got > share+slack {
					t.Errorf("%d members: %s owns %d of %d breakers, want %d, or %d more or less", members, one, got, len(keys), share, slack)
				}
			}
		}
	}
}

func sqrt(n int) (root int) {
	for root*root < n {
		root++
	}
	return root
}

// TestBreakersOfOneNameAreSpread shows that the proxies' breakers of one upstream have different owners.
func TestBreakersOfOneNameAreSpread(t *testing.T) {
	m := New(&Reach{Self: "a", Members: []string{"a", "b", "c"}})
	owns := map[string]int{}
	for i := range 3_000 {
		owns[m.Owner(breaker.Key{Upstream: "payments", Node: fmt.Sprintf("proxy-%d", i)})]++
	}
	for _, one := range []string{"a", "b", "c"} {
		if owns[one] < 800 || owns[one] > 1_200 {
			t.Errorf("%s owns %d breakers of 3000, want about 1000", one, owns[one])
		}
	}
}

// drawIDs draws the ids of some replicas, all different.
func drawIDs(t *rapid.T, least int) []string {
	return rapid.SliceOfNDistinct(rapid.StringMatching(`[0-9a-f]{1,8}`), least, 8, rapid.ID[string]).Draw(t, "ids")
}

// drawReach draws some knowledge. Replicas that are not members may be reached too, and may be said to be reached.
func drawReach(t *rapid.T) *Reach {
	ids := drawIDs(t, 1)
	some := func(label string) []string {
		return slices.DeleteFunc(slices.Clone(ids), func(string) bool { return rapid.Bool().Draw(t, label) })
	}
	r := &Reach{Self: rapid.SampledFrom(ids).Draw(t, "self"), Members: some("no member"), Beyond: map[string][]string{}}
	for _, one := range some("not reached") {
		if one != r.Self {
			r.Beyond[one] = some("not beyond")
		}
	}
	return r
}

func drawKey(t *rapid.T) breaker.Key {
	name := rapid.StringMatching(`[a-z0-9-]{0,6}`)
	return breaker.Key{Upstream: name.Draw(t, "upstream"), Route: name.Draw(t, "route"), Node: name.Draw(t, "node")}
}

// shuffled returns the same knowledge with its lists in another order.
func shuffled(t *rapid.T, r *Reach) *Reach {
	s := &Reach{Self: r.Self, Members: rapid.Permutation(r.Members).Draw(t, "members"), Beyond: map[string][]string{}}
	for one, beyond := range r.Beyond {
		s.Beyond[one] = rapid.Permutation(beyond).Draw(t, "beyond")
	}
	return s
}

// TestOrderDoesNotMatter shows that the order in which replicas are listed changes no place, and that New changes no list.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawReach(t)
		members := slices.Clone(r.Members)
		m := New(r)
		if !slices.Equal(members, r.Members) {
			t.Errorf("the members are %v now, and were %v", r.Members, members)
		}
		o := New(shuffled(t, r))
		for range 20 {
			key := drawKey(t)
			if m.Owner(key) != o.Owner(key) || m.Acting(key) != o.Acting(key) {
				t.Errorf("%v: owners %q and %q, acting %q and %q", key, m.Owner(key), o.Owner(key), m.Acting(key), o.Acting(key))
			}
		}
		if m.Unreached() != o.Unreached() {
			t.Errorf("%d and %d members are not reached", m.Unreached(), o.Unreached())
		}
	})
}

// TestOneMemberMovesItsShareOnly shows that a member that joins gets breakers and moves no other ones, and that the breakers of a member that leaves are
// the only ones that move.
func TestOneMemberMovesItsShareOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := drawIDs(t, 2)
		more, gone := New(&Reach{Self: ids[0], Members: ids}), rapid.SampledFrom(ids).Draw(t, "member")
		fewer := New(&Reach{Self: ids[0], Members: slices.DeleteFunc(slices.Clone(ids), func(one string) bool { return one == gone })})
		for range 50 {
			key := drawKey(t)
			switch before, after := more.Owner(key), fewer.Owner(key); {
			case after == gone:
				t.Errorf("%v: %s owns it, and is no member", key, gone)
			case before != gone && before != after:
				t.Errorf("%v moves from %s to %s when %s leaves", key, before, after, gone)
			}
		}
	})
}

// TestActing shows which replica decides about a breaker, by a plain account of the rule.
func TestActing(t *testing.T) {
	kinds := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		r := drawReach(t)
		m, unreached := New(r), 0
		reaches := func(one string) bool { _, is := r.Beyond[one]; return is || one == r.Self }
		var near []string
		for _, one := range r.Members {
			if reaches(one) {
				near = append(near, one)
			} else {
				unreached++
			}
		}
		if m.Unreached() != unreached {
			t.Errorf("%d members are not reached, want %d", m.Unreached(), unreached)
		}
		for range 20 {
			key := drawKey(t)
			owner, acting := m.Owner(key), m.Acting(key)
			if len(r.Members) == 0 != (owner == "") || owner != "" && !slices.Contains(r.Members, owner) {
				t.Errorf("%v: the owner is %q, with the members %v", key, owner, r.Members)
			}
			between := slices.DeleteFunc(slices.Clone(near), func(one string) bool {
				return one == r.Self || !slices.Contains(r.Beyond[one], owner)
			})
			var kind string
			want := []string{owner}
			switch {
			case owner != "" && reaches(owner):
				kind = "the owner"
			case len(between) > 0:
				kind, want = "a member in between", between
			case len(near) > 0:
				kind, want = "a member that is reached", near
			default:
				kind, want = "itself", []string{r.Self}
			}
			kinds[kind]++
			if !slices.Contains(want, acting) {
				t.Errorf("%v: %q acts, want %s, one of %v", key, acting, kind, want)
			}
		}
	})
	if len(kinds) != 4 {
		t.Errorf("the kinds that acted are %v, want all four", kinds)
	}
}

// TestReplicasWithTheSameReachAgree shows that replicas on one side of a cut name one replica to act for each breaker, so that the side has one
// breaker. Some of their members are on the other side, and there is no way to them.
func TestReplicasWithTheSameReachAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := drawIDs(t, 2)
		cut := rapid.IntRange(1, len(ids)).Draw(t, "side")
		side := ids[:cut]
		var all []*Map
		for _, self := range side {
			r := &Reach{Self: self, Members: rapid.Permutation(ids).Draw(t, "members"), Beyond: map[string][]string{}}
			for _, other := range side {
				if other != self {
					r.Beyond[other] = slices.DeleteFunc(slices.Clone(side), func(one string) bool { return one == other })
				}
			}
			all = append(all, New(r))
		}
		for range 20 {
			key := drawKey(t)
			for i, m := range all {
				if got, want := m.Acting(key), all[0].Acting(key); got != want || !slices.Contains(side, got) {
					t.Errorf("%v: %s says that %s acts, and %s says %s", key, side[i], got, side[0], want)
				}
				if got, want := m.Owner(key), all[0].Owner(key); got != want {
					t.Errorf("%v: %s says that %s is the owner, and %s says %s", key, side[i], got, side[0], want)
				}
			}
		}
	})
}

// TestActingInBetweenReachesTheOwner shows that the way over another member ends at the owner: the one that acts names the owner itself.
func TestActingInBetweenReachesTheOwner(t *testing.T) {
	const a, b, c = "a", "b", "c" // a and c do not reach each other, and b reaches both
	members := []string{a, b, c}
	atA := New(&Reach{Self: a, Members: members, Beyond: map[string][]string{b: {c}}})
	atB := New(&Reach{Self: b, Members: members, Beyond: map[string][]string{a: {}, c: {}}})
	seen := map[string]bool{}
	for _, key := range keyed(100) {
		owner := atA.Owner(key)
		seen[owner] = true
		want := map[string]string{a: a, b: b, c: b}[owner]
		if got := atA.Acting(key); got != want {
			t.Errorf("%v of %s: %s acts by the knowledge of %s, want %s", key, owner, got, a, want)
		}
		if got := atB.Acting(key); got != owner {
			t.Errorf("%v of %s: %s acts by the knowledge of %s, want the owner", key, owner, got, b)
		}
	}
	if len(seen) != 3 {
		t.Errorf("the owners are %v, want all three", seen)
	}
}

// TestWithoutMembers shows that the zero value has no owner, and that a replica without members decides by itself.
func TestWithoutMembers(t *testing.T) {
	key := breaker.Key{Upstream: "payments"}
	var none Map
	if owner, acting := none.Owner(key), none.Acting(key); owner != "" || acting != "" || none.Unreached() != 0 {
		t.Errorf("the zero value has the owner %q, %q acts, and %d are not reached", owner, acting, none.Unreached())
	}
	m := New(&Reach{Self: "a", Beyond: map[string][]string{"b": {"a"}}})
	if m.Owner(key) != "" || m.Acting(key) != "a" || m.Unreached() != 0 {
		t.Errorf("without members the owner is %q, %q acts, and %d are not reached", m.Owner(key), m.Acting(key), m.Unreached())
	}
}
