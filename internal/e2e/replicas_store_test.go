package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"breakwater.dev/internal/redistest"
)

// loseStore shows that breakers trip, probe and close while the store is away, and that a state by hand outlives each loss.
func loseStore(t *testing.T, store redistest.Kind) {
	server := redistest.Start(t, store)
	w := newSharing(t, server, nil, byRate)
	for _, loss := range []struct {
		name       string
		begin, end func(t testing.TB)
	}{
		{"killed", server.Kill, server.Restart},
		{"frozen", server.Freeze, server.Thaw},
		{"emptied", func(t testing.TB) { server.Do(t, "FLUSHALL") }, func(t testing.TB) { server.Do(t, "FLUSHALL") }},
	} {
		t.Run(loss.name, func(t *testing.T) { w.without(t, loss.begin, loss.end) })
	}
}

// failOver shows the same when the store's replica takes the place of its primary.
func failOver(t *testing.T, store redistest.Kind) {
	f := redistest.StartFailover(t, store)
	var sentinels []string
	for _, s := range f.Sentinels {
		sentinels = append(sentinels, s.Addr)
	}
	w := newSharing(t, f.Primary, func(r *replica) {
		r.flags = append(r.flags, "--store", fmt.Sprintf("redis-sentinel://%s/%s", strings.Join(sentinels, ","), redistest.Primary))
	}, byRate)
	w.without(t, f.Primary.Kill, func(t testing.TB) {
		redistest.Wait(t, "the replica to be the primary", func() bool {
			role, _ := f.Replica.Do(t, "ROLE").([]any)
			return len(role) > 0 && role[0] == "master"
		})
	})
}

// without has a breaker of each data path trip and close, and another one held open by hand, while the store is away.
func (w *sharing) without(t *testing.T, begin, restore func(testing.TB)) {
	_, held := w.pick(t)
	_, subjects := w.pick(t)
	reached := make([]int64, len(held))
	for i, s := range held {
		s.upstream.behave(answer(http.StatusOK))
		w.all[i].byHand(t, "force", s.host, "open", "--for", "1h")
		s.reject(t)
	}
	begin(t)
	end := sync.OnceFunc(func() { restore(t) })
	defer end() // also where the test fails, since others follow
	probes, crowds := make([]*probed, len(subjects)), make([]crowd, len(subjects))
	for i, s := range subjects {
		probes[i], crowds[i] = s.trip(t), s.crowd(t)
	}
	for i, s := range subjects {
		s.heals(t, probes[i])
	}
	for i, s := range held {
		reached[i] = s.upstream.calls.Load()
	}
	end()
	w.agree(t)
	for i, s := range subjects {
		s.everywhere(t, "closed")
		crowds[i].clean(t)
	}
	for i, s := range held {
		s.listed(t, "open", "alice@ops")
		s.reject(t)
		w.all[i].byHand(t, "reset", s.host)
		s.pass(t)
	}
	w.takesOver(t)
}

// takesOver shows that the store works again: the state by hand of a breaker goes on when its owner is killed, and is the one that a replica
// has that starts then.
func (w *sharing) takesOver(t *testing.T) {
	t.Helper()
	owner, held := w.pick(t)
	for _, s := range held {
		owner.byHand(t, "force", s.host, "open", "--for", "1h")
		s.reject(t)
	}
	owner.away = true
	owner.control.kill()
	w.agree(t)
	startAgain(t, w, owner)
	owner.away = false
	w.agree(t)
	for _, s := range held {
		s.everywhere(t, "open")
		s.reject(t)
	}
}
