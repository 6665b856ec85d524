package shared

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/internal/redistest"
	"breakwater.dev/membership"
)

// member returns a replica with an id.
func member(id string) membership.Member {
	return membership.Member{ID: id, Address: "10.0.0.1:18000", Name: "pod-" + id}
}

// beat beats for a replica.
func beat(t *testing.T, s *Store, id string, ttl time.Duration) membership.Reading {
	t.Helper()
	r, err := s.Beat(t.Context(), member(id), ttl)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// replace replaces a view, and fails the test unless the result is the wanted one.
func replace(t *testing.T, s *Store, old, next membership.View, want bool) {
	t.Helper()
	if got, err := s.Replace(t.Context(), &old, &next); err != nil || got != want {
		t.Errorf("replacing epoch %d by %d: got %t, error %v; want %t", old.Epoch, next.Epoch, got, err, want)
	}
}

// ids returns the ids of replicas.
func ids(members []membership.Member) []string {
	var ids []string
	for _, m := range members {
		ids = append(ids, m.ID)
	}
	return ids
}

// TestBeatReturnsViewAndLive shows that every replica gets the view and all live replicas, sorted, itself included.
func TestBeatReturnsViewAndLive(t *testing.T) {
	with(t, func(t *testing.T, server *redistest.Server, s *Store) {
		want := membership.Reading{Live: []membership.Member{member("b")}}
		if diff := cmp.Diff(want, beat(t, s, "b", time.Minute)); diff != "" {
			t.Errorf("the first beat (-want +got):\n%s", diff)
		}
		view := membership.View{Epoch: math.MaxUint64, Nonce: "n", Members: []membership.Member{member("a"), member("b")}}
		replace(t, s, membership.View{}, view, true)
		want = membership.Reading{View: view, Live: []membership.Member{member("a"), member("b")}}
		if diff := cmp.Diff(want, beat(t, s, "a", time.Minute)); diff != "" {
			t.Errorf("the second replica (-want +got):\n%s", diff)
		}
	})
}

// TestReplicasExpire shows that a replica that does not beat is no longer live when its time is over, and that nothing of it stays.
func TestReplicasExpire(t *testing.T) {
	with(t, func(t *testing.T, server *redistest.Server, s *Store) {
		beat(t, s, "short", 100*time.Millisecond)
		redistest.Wait(t, "the replica to expire", func() bool {
			return slices.Equal(ids(beat(t, s, "long", time.Minute).Live), []string{"long"})
		})
		if got, want := server.Do(t, "SMEMBERS", s.key(membersKey)), []any{"long"}; !cmp.Equal(got, want) {
			t.Errorf("the ids are %v, want %v", got, want)
		}
	})
}

// TestLeave shows that a replica that leaves is no longer live at once, and may leave twice.
func TestLeave(t *testing.T) {
	with(t, func(t *testing.T, server *redistest.Server, s *Store) {
		beat(t, s, "a", time.Minute)
		beat(t, s, "b", time.Minute)
		for range 2 {
			if err := s.Leave(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := ids(beat(t, s, "b", time.Minute).Live), []string{"b"}; !slices.Equal(got, want) {
			t.Errorf("live are %q, want %q", got, want)
		}
	})
}

// TestReplace shows which views can be replaced.
func TestReplace(t *testing.T) {
	with(t, func(t *testing.T, server *redistest.Server, s *Store) {
		none := membership.View{}
		first := membership.View{Epoch: 1, Nonce: "x", Members: []membership.Member{member("a")}}
		second := membership.View{Epoch: 2, Nonce: "y"}
		replace(t, s, first, second, false) // there is none
		replace(t, s, none, first, true)
		replace(t, s, none, second, false)
		replace(t, s, membership.View{Epoch: 1, Nonce: "another"}, second, false)
		replace(t, s, membership.View{Epoch: 0, Nonce: "x"}, second, false)
		replace(t, s, first, second, true)
		replace(t, s, first, second, true) // the same call again, as after a reply that was lost
		replace(t, s, first, membership.View{Epoch: 2, Nonce: "z"}, false)
		if got := beat(t, s, "a", time.Minute).View; !cmp.Equal(got, second) {
			t.Errorf("the view is %+v, want %+v", got, second)
		}
	})
}

// TestOneReplaceWins shows that exactly one succeeds of ten replicas that replace the same view at once, each time.
func TestOneReplaceWins(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		server := redistest.Start(t, kind)
		replicas := make([]*Store, 10)
		for i := range replicas {
			replicas[i], _ = open(t, Options{URL: "redis://" + server.Addr})
		}
		var old membership.View
		for range 50 {
			var winners atomic.Int32
			var running sync.WaitGroup
			next := make([]membership.View, len(replicas))
			for i, s := range replicas {
				next[i] = membership.View{Epoch: old.Epoch + 1, Nonce: fmt.Sprint(i)}
				running.Go(func() {
					won, err := s.Replace(t.Context(), &old, &next[i])
					if err != nil {
						t.Error(err)
					}
					if won {
						winners.Add(1)
					}
				})
			}
			running.Wait()
			view := beat(t, replicas[0], "a", time.Minute).View
			if winners.Load() != 1 || view.Epoch != old.Epoch+1 {
				t.Fatalf("%d replicas have replaced epoch %d, and the view is %+v", winners.Load(), old.Epoch, view)
			}
			old = view
		}
	})
}

// TestNamesSeparateControlPlanes shows that two control planes in one server do not see each other, and that all keys have the name.
func TestNamesSeparateControlPlanes(t *testing.T) {
	with(t, func(t *testing.T, server *redistest.Server, s *Store) {
		other, _ := open(t, Options{URL: "redis://" + server.Addr + "/0", Name: "staging"})
		beat(t, s, "a", time.Minute)
		replace(t, s, membership.View{}, membership.View{Epoch: 1, Nonce: "x"}, true)
		want := membership.Reading{Live: []membership.Member{member("b")}}
		if diff := cmp.Diff(want, beat(t, other, "b", time.Minute)); diff != "" {
			t.Errorf("the other control plane (-want +got):\n%s", diff)
		}
		for _, key := range server.Keys(t) {
			if !strings.HasPrefix(key, "breakwater:{breakwater}:") && !strings.HasPrefix(key, "breakwater:{staging}:") {
				t.Errorf("there is the key %q", key)
			}
		}
	})
}

// TestBadNames shows the names that are refused.
func TestBadNames(t *testing.T) {
	for _, name := range []string{"a}b", "{", "a b", "ä", strings.Repeat("x", 64)} {
		if s, err := Open(Options{URL: "redis://127.0.0.1:1", Name: name}, nil, nil); err == nil {
			t.Errorf("the name %q is taken", name)
			s.Close()
		}
	}
}

// TestFlushedRegistry shows that a replica in a store that was emptied finds the empty view, and can make a new one.
func TestFlushedRegistry(t *testing.T) {
	with(t, func(t *testing.T, server *redistest.Server, s *Store) {
		beat(t, s, "a", time.Minute)
		beat(t, s, "b", time.Minute)
		view := membership.View{Epoch: 1, Nonce: "x"}
		replace(t, s, membership.View{}, view, true)
		server.Do(t, "FLUSHALL")
		want := membership.Reading{Live: []membership.Member{member("b")}}
		if diff := cmp.Diff(want, beat(t, s, "b", time.Minute)); diff != "" {
			t.Errorf("after the flush (-want +got):\n%s", diff)
		}
		replace(t, s, view, membership.View{Epoch: 2, Nonce: "y"}, false)
		replace(t, s, membership.View{}, membership.View{Epoch: 2, Nonce: "y"}, true)
	})
}

// TestGarbageInTheRegistry shows the effect of keys that other programs have written.
func TestGarbageInTheRegistry(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		server := redistest.Start(t, kind)
		s, log := open(t, Options{URL: "redis://" + server.Addr})
		server.Do(t, "SADD", s.key(membersKey), "x", "y", "z")
		server.Do(t, "SET", s.key(memberPrefix+"x"), "\x00\xffgarbage")
		server.Do(t, "SET", s.key(memberPrefix+"y"), `{}`)
		server.Do(t, "SET", s.key(memberPrefix+"z"), `{"id":"z","address":"z:1","name":"z","zone":"of a newer version"}`)
		for range 3 {
			if got, want := ids(beat(t, s, "a", time.Minute).Live), []string{"a", "z"}; !slices.Equal(got, want) {
				t.Errorf("live are %q, want %q", got, want)
			}
		}
		if n := strings.Count(log.String(), "a replica whose record cannot be read"); n != 1 {
			t.Errorf("the log has %d warnings, want 1:\n%s", n, log)
		}
		for _, view := range [][]any{
			{"HSET", s.key(viewKey), "epoch", "minus one"},
			{"HSET", s.key(viewKey), "epoch", "1", "members", "[7]"},
			{"SET", s.key(viewKey), "text"},
		} {
			server.Do(t, "DEL", s.key(viewKey))
			server.Do(t, view...)
			if r, err := s.Beat(t.Context(), member("a"), time.Minute); err == nil {
				t.Errorf("%v: read as %+v", view, r)
			}
		}
	})
}

// TestFrozenStore shows that all methods give up within their time limit while the server does not answer, and succeed when it
// does again.
func TestFrozenStore(t *testing.T) {
	with(t, func(t *testing.T, server *redistest.Server, s *Store) {
		beat(t, s, "a", time.Minute)
		server.Freeze(t)
		for name, call := range map[string]func() error{
			"beat":    func() error { _, err := s.Beat(t.Context(), member("a"), time.Minute); return err },
			"replace": func() error { _, err := s.Replace(t.Context(), &membership.View{}, &membership.View{}); return err },
			"leave":   func() error { return s.Leave(t.Context(), "a") },
		} {
			begin := time.Now()
			err := call()
			if took := time.Since(begin); err == nil || took > 10*timeLimit {
				t.Errorf("%s: error %v after %s, want one within %s", name, err, took, timeLimit)
			}
		}
		server.Thaw(t)
		redistest.Wait(t, "a beat to succeed", func() bool {
			_, err := s.Beat(t.Context(), member("a"), time.Minute)
			return err == nil
		})
	})
}

// TestRestartedStore shows that a beat succeeds after the server was started again, without a new Store.
func TestRestartedStore(t *testing.T) {
	with(t, func(t *testing.T, server *redistest.Server, s *Store) {
		beat(t, s, "a", time.Minute)
		server.Kill(t)
		if _, err := s.Beat(t.Context(), member("a"), time.Minute); err == nil {
			t.Error("a beat succeeds without a server")
		}
		server.Restart(t)
		redistest.Wait(t, "a beat to succeed", func() bool {
			_, err := s.Beat(t.Context(), member("a"), time.Minute)
			return err == nil
		})
	})
}
