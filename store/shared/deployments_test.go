package shared

import (
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/redistest"
	"breakwater.dev/internal/testca"
	"breakwater.dev/membership"
)

// everything uses every method of a store that is empty, and leaves a state in it.
func everything(t *testing.T, s *Store) {
	t.Helper()
	beat(t, s, "a", time.Minute)
	beat(t, s, "b", time.Minute)
	view := membership.View{Epoch: 1, Nonce: "x", Members: []membership.Member{member("a")}}
	replace(t, s, membership.View{}, view, true)
	replace(t, s, membership.View{}, view, true)
	if err := s.Leave(t.Context(), "b"); err != nil {
		t.Error(err)
	}
	if r := beat(t, s, "a", time.Minute); !slices.Equal(ids(r.Live), []string{"a"}) || !r.View.Same(&view) {
		t.Errorf("read %+v", r)
	}
	for _, upstream := range []string{"payments", "search", "stock"} {
		write(t, s, state(upstream, 2, 2), true)
		write(t, s, state(upstream, 1, 1), false)
	}
	for _, upstream := range []string{"search", "stock"} {
		if removed, err := s.Remove(t.Context(), breaker.Key{Upstream: upstream}, 2, 3); err != nil || !removed {
			t.Errorf("removed %t, error %v", removed, err)
		}
	}
	if all := load(t, s); len(all) != 1 || all[0].Saved.Key.Upstream != "payments" {
		t.Errorf("loaded %+v", all)
	}
}

// TestCluster shows that a cluster is a store, with one server and with three, and whichever of them has the keys.
func TestCluster(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		for _, n := range []int{1, 3} {
			servers := redistest.StartCluster(t, kind, n)
			for _, name := range []string{"a", "b", "c", "d"} { // in the slots 15495, 3300, 7365 and 11298
				s, _ := open(t, Options{URL: "redis-cluster://" + servers[0].Addr, Name: name})
				everything(t, s)
			}
			used := 0
			for _, server := range servers {
				if len(server.Keys(t)) > 0 {
					used++
				}
			}
			if used != n {
				t.Errorf("%d of %d servers have keys", used, n)
			}
		}
	})
}

// TestFailover shows that a Store finds the new primary after the old one has died, without being opened again, and that its keeper then
// writes everything again, because a replica may lack the last writes.
func TestFailover(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		f := redistest.StartFailover(t, kind)
		r := newReplica(t, f.Primary)
		r.store, r.log = open(t, Options{URL: "redis-sentinel://" + f.Sentinels[0].Addr + "/" + redistest.Primary})
		r.keeper = NewKeeper(r.store, r.keeper.saver.replica, r.store.log)
		everything(t, r.store)
		r.set(3, "a b", generations{"a": 1, "b": 1})
		r.run()
		r.keeper.Notify()
		want := []string{"a 3 1", "b 3 1", "payments 2 2"}
		redistest.Wait(t, "the states", func() bool { return slices.Equal(r.stored(), want) })
		const soon = 3_600_000 // a write makes a key live longer
		key := r.store.stateKey(breaker.Key{Upstream: "a"})
		life := func() int64 { return f.Replica.Do(t, "PTTL", key).(int64) }
		f.Primary.Do(t, "PEXPIRE", key, soon)
		redistest.Wait(t, "the replica to have the state", func() bool { return life() > 0 && life() <= soon })
		f.Primary.Kill(t)
		begin, failures := time.Now(), 0
		redistest.Wait(t, "a beat to succeed", func() bool {
			_, err := r.store.Beat(t.Context(), member("a"), time.Minute)
			if err != nil {
				failures++
			}
			return err == nil
		})
		if took := time.Since(begin); failures == 0 || took > time.Duration(10*(failures+1))*timeLimit {
			t.Errorf("%d beats failed, and all took %s; want at most %s for each", failures, took, timeLimit)
		}
		redistest.Wait(t, "the state to be written again", func() bool { return life() > soon })
		if got := r.stored(); !slices.Equal(got, want) {
			t.Errorf("the new primary has %q, want %q", got, want)
		}
	})
}

// TestDeadHost shows that a Store finds the new primary when the old one and the Sentinel that the Store asks are on a host that no longer
// answers, not even to close connections.
func TestDeadHost(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		f := redistest.StartFailover(t, kind)
		s, _ := open(t, Options{URL: "redis-sentinel://" + f.Sentinels[0].Addr + "/" + redistest.Primary})
		everything(t, s)
		f.Primary.Freeze(t)
		f.Sentinels[0].Freeze(t)
		redistest.Wait(t, "a beat to succeed", func() bool {
			_, err := s.Beat(t.Context(), member("a"), time.Minute)
			return err == nil
		})
		if keys := f.Replica.Keys(t); len(keys) == 0 {
			t.Error("the new primary has no keys")
		}
	})
}

// TestClusterFailover shows that a Store finds the new primary of its keys in a cluster.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		servers := redistest.StartCluster(t, kind, 3)
		s, _ := open(t, Options{URL: "redis-cluster://" + servers[0].Addr + "," + servers[1].Addr})
		everything(t, s)
		owner := slices.IndexFunc(servers, func(server *redistest.Server) bool { return len(server.Keys(t)) > 0 })
		redistest.Replicate(t, servers[owner])
		servers[owner].Kill(t)
		redistest.Wait(t, "a beat to succeed", func() bool {
			_, err := s.Beat(t.Context(), member("a"), time.Minute)
			return err == nil
		})
		if all := load(t, s); len(all) != 1 {
			t.Errorf("loaded %+v, want one state", all)
		}
	})
}

// TestPasswordAndTLS shows that a store is reached by TLS with a password, and that a wrong one is said, and not repeated.
func TestPasswordAndTLS(t *testing.T) {
	kind := redistest.Redis
	ca := testca.New(t)
	ca.Issue(t, "server", "127.0.0.1")
	_, port, _ := strings.Cut(redistest.FreeAddr(t), ":")
	redistest.Start(t, kind, "--requirepass", "hunter2", "--tls-port", port,
		"--tls-cert-file", ca.Path("server.pem"), "--tls-key-file", ca.Path("server.key"), "--tls-ca-cert-file", ca.Path("ca.pem"), "--tls-auth-clients", "no")
	s, _ := open(t, Options{URL: "rediss://:hunter2@127.0.0.1:" + port, CAFile: ca.Path("ca.pem")})
	everything(t, s)
	wrong, _ := open(t, Options{URL: "rediss://:hunter3@127.0.0.1:" + port, CAFile: ca.Path("ca.pem")})
	_, err := wrong.Beat(t.Context(), member("a"), time.Minute)
	if err == nil || !strings.Contains(err.Error(), "the store does not take that this replica is alive: ") || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "hunter") {
		t.Errorf("got error %v", err)
	}
}
