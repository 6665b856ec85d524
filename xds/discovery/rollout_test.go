package discovery

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/xds/discovery/internal/rollout"
)

// measured records the reports to [Options.Propagated].
func measured() (*Server, *[]time.Duration) {
	all, o := &[]time.Duration{}, newServer().options
	o.Propagated = func(d time.Duration) { *all = append(*all, d) }
	return NewServer(o), all
}

// took demands what was measured since the last call.
func took(t *testing.T, all *[]time.Duration, want ...time.Duration) {
	t.Helper()
	synctest.Wait()
	if !slices.Equal(*all, want) {
		t.Fatalf("measured %v, want %v", *all, want)
	}
	*all = nil
}

func rolled(t *testing.T, s *Server, want RolloutCounts) {
	t.Helper()
	if diff := cmp.Diff(want, s.rollouts.Counts()); diff != "" {
		t.Fatalf("rollouts (-want +got)\n%s", diff)
	}
}

func TestPropagationIsThatOfTheLastProxy(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s, all := measured()
		publishGates(t, s, time.Now(), openGate("a", "", 1))
		took(t, all) // there is no proxy yet
		one, two := connectLayer(t, s, newLink()), connectLayer(t, s, newLink())
		one.takes("a=1 for 15s")
		two.takes("a=1 for 15s")
		decided := time.Now()
		wait(time.Second)
		publishGates(t, s, decided, openGate("a", "", 2))
		wait(time.Second)
		one.takes("a=2 for 15s")
		late := connectLayer(t, s, newLink()) // it came after that, and is not waited for
		took(t, all)
		rolled(t, s, RolloutCounts{Begun: 1, Waiting: 1})
		wait(time.Second)
		two.takes("a=2 for 15s")
		took(t, all, 3*time.Second)
		late.takes("a=2 for 15s")
		took(t, all)
		publishGates(t, s, time.Time{}, openGate("a", "", 3))
		one.takes("a=3 for 15s")
		two.takes("a=3 for 15s")
		late.takes("a=3 for 15s")
		took(t, all) // the decision has no time
		rolled(t, s, RolloutCounts{Begun: 1})
	})
}

// Gates that come while a proxy has yet to answer reach it together.
func TestPropagationOfWhatComesTogether(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s, all := measured()
		p := connectLayer(t, s, newLink())
		p.gets("nothing")
		for share := range uint32(3) {
			publishGates(t, s, time.Now(), openGate("a", "", 1+share))
			wait(time.Second)
		}
		p.reply(false)
		took(t, all)
		rolled(t, s, RolloutCounts{Begun: 3, Waiting: 3})
		p.takes("a=3 for 15s")
		took(t, all, 3*time.Second, 2*time.Second, time.Second)
		// There and back while it does not answer: then it has what it should.
		publishGates(t, s, time.Now(), openGate("a", "", 4))
		p.gets("a=4 for 15s")
		publishGates(t, s, time.Now(), openGate("a", "", 5))
		publishGates(t, s, time.Now(), openGate("a", "", 4))
		wait(time.Second)
		p.reply(false)
		took(t, all, time.Second, time.Second, time.Second)
		p.gets()
	})
}

func TestPropagationOfWhatIsRefused(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s, all := measured()
		one, two := connectLayer(t, s, newLink()), connectLayer(t, s, newLink())
		one.takes("nothing")
		two.takes("nothing")
		publishGates(t, s, time.Now(), openGate("a", "", 1))
		one.refuses("a=1 for 15s")
		two.gets("a=1 for 15s")
		rolled(t, s, RolloutCounts{Begun: 1, Waiting: 1})
		two.reply(false)
		rolled(t, s, RolloutCounts{Begun: 1, Refused: 1})
		// The same for the one that has refused it, and another for none.
		publishGates(t, s, time.Now(), openGate("a", "", 1), openGate("b", "other", 1))
		rolled(t, s, RolloutCounts{Begun: 1, Refused: 1})
		took(t, all)
		publishGates(t, s, time.Now(), openGate("a", "", 2))
		one.takes("a=2 for 15s")
		two.takes("a=2 for 15s")
		took(t, all, 0)
		rolled(t, s, RolloutCounts{Begun: 2, Refused: 1})
		// There and back before one says that it does not take it.
		publishGates(t, s, time.Now(), openGate("a", "", 3))
		one.gets("a=3 for 15s")
		two.takes("a=3 for 15s")
		publishGates(t, s, time.Now(), openGate("a", "", 4))
		two.gets("a=4 for 15s")
		publishGates(t, s, time.Now(), openGate("a", "", 3))
		one.reply(true)
		two.reply(false)
		two.takes("a=3 for 15s")
		took(t, all)
		rolled(t, s, RolloutCounts{Begun: 5, Refused: 4})
	})
}

func TestPropagationDoesNotWaitForWhoIsGone(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s, all := measured()
		one, two := connectLayer(t, s, newLink()), connectLayer(t, s, newLink())
		one.takes("nothing")
		two.takes("nothing")
		publishGates(t, s, time.Now(), openGate("a", "", 1))
		one.takes("a=1 for 15s")
		wait(time.Second)
		two.disconnect()
		took(t, all, time.Second)
		rolled(t, s, RolloutCounts{Begun: 1})
	})
}

// A proxy that never answers holds up figures, and memory only so far.
func TestRolloutsAreBounded(t *testing.T) {
	forEachLink(t, func(t *testing.T, newLink func() link) {
		s, all := measured()
		stuck, well := connectLayer(t, s, newLink()), connectLayer(t, s, newLink())
		stuck.gets("nothing")
		well.takes("nothing")
		const many = 2 * rollout.Max
		for share := range uint32(many) {
			publishGates(t, s, time.Now(), openGate("a", "", 1+share))
			well.takes(fmt.Sprintf("a=%d for 15s", 1+share))
		}
		rolled(t, s, RolloutCounts{Begun: many, Waiting: rollout.Max})
		took(t, all)
		stuck.reply(false)
		stuck.takes(fmt.Sprintf("a=%d for 15s", many))
		took(t, all, make([]time.Duration, rollout.Max)...)
		rolled(t, s, RolloutCounts{Begun: many})
	})
}
