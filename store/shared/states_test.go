package shared

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/redistest"
	"breakwater.dev/store/internal/record"
	"breakwater.dev/store/internal/recordtest"
)

// write writes a state, and fails the test unless the result is the wanted one.
func write(t *testing.T, s *Store, state Stored, want bool) {
	t.Helper()
	if got, err := s.Write(t.Context(), &state); err != nil || got != want {
		t.Errorf("writing %s of epoch %d and generation %d: got %t, error %v; want %t", state.Saved.Key, state.Epoch, state.Saved.Generation, got, err, want)
	}
}

// load returns all states, sorted by their keys.
func load(t *testing.T, s *Store) []Stored {
	t.Helper()
	all, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b Stored) int { return cmp.Compare(a.Saved.Key.String(), b.Saved.Key.String()) })
	return all
}

// state returns an open state.
func state(upstream string, epoch, generation uint64) Stored {
	return Stored{Epoch: epoch, Owner: "a", Saved: breaker.Saved{
		Key: breaker.Key{Upstream: upstream}, Config: breaker.DefaultConfig(), State: breaker.Open,
		Since: recordtest.At(-time.Second), Until: recordtest.At(time.Minute), Generation: generation,
	}}
}

// TestLoadReturnsWhatWasWritten shows that another replica loads the states with all that they have, and that the store measures the age of a
// state. The writer's wall clock is a day ahead.
func TestLoadReturnsWhatWasWritten(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		server := redistest.Start(t, kind)
		writer, _ := open(t, Options{URL: "redis://" + server.Addr})
		writer.clock = stopped(record.Anchor{Instant: recordtest.Date.Instant, Wall: recordtest.Date.Wall.Add(24 * time.Hour)})
		reader, log := open(t, Options{URL: "redis://" + server.Addr})
		began := time.Now()
		for i, saved := range recordtest.Examples() {
			write(t, writer, Stored{Epoch: uint64(i), Owner: "a", Saved: saved}, true)
		}
		const away = 5 * time.Second // as if it were 5 s later
		for _, saved := range recordtest.Examples() {
			key := writer.stateKey(saved.Key)
			server.Do(t, "PEXPIRE", key, server.Do(t, "PTTL", key).(int64)-away.Milliseconds())
		}
		got := load(t, reader)
		took := time.Since(began) + time.Millisecond
		if len(got) != 3 || log.String() != "" {
			t.Fatalf("got %+v and the log %q, want 3 states", got, log)
		}
		for i, want := range recordtest.Examples() {
			saved := got[i].Saved
			age := want.Since.Sub(saved.Since)
			if age < away || age > away+took || got[i].Epoch != uint64(i) || got[i].Owner != "a" {
				t.Errorf("got %+v, with the age %s", got[i], age)
			}
			shift(&want, -age)
			if diff := gocmp.Diff(want, saved); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		}
	})
}

// shift moves all instants of a state.
func shift(s *breaker.Saved, d time.Duration) {
	end := func(i breaker.Instant) breaker.Instant {
		if i == 0 { // there is no end
			return 0
		}
		return i.Add(d)
	}
	s.Since, s.Until = s.Since.Add(d), end(s.Until)
	if s.Override != nil {
		s.Override.Until = end(s.Override.Until)
	}
	for _, t := range []*breaker.Transition{s.Cause, s.Trip} {
		if t != nil {
			t.At, t.Since, t.Until = t.At.Add(d), t.Since.Add(d), end(t.Until)
		}
	}
}

// TestFencing shows that a write or a removal is refused if its epoch is lower, or its epoch is the same and its generation is lower.
func TestFencing(t *testing.T) {
	with(t, func(t *testing.T, server *redistest.Server, s *Store) {
		const most = math.MaxUint64
		for _, tt := range []struct {
			epoch, generation uint64
			want              bool
		}{
			{4, most, false}, {5, most - 2, false}, {5, most - 1, true}, {5, most, true}, {6, 0, true}, {most, 0, true}, {0, 0, false}, {0, most, false},
		} {
			write(t, s, state("payments", 5, most-1), true)
			write(t, s, state("payments", tt.epoch, tt.generation), tt.want)
			if got := load(t, s); len(got) != 1 || (got[0].Epoch == tt.epoch && got[0].Saved.Generation == tt.generation) != tt.want {
				t.Errorf("%d, %d: the store has %+v", tt.epoch, tt.generation, got)
			}
			server.Do(t, "FLUSHALL")
			write(t, s, state("payments", 5, most-1), true)
			if got, err := s.Remove(t.Context(), breaker.Key{Upstream: "payments"}, tt.epoch, tt.generation); err != nil || got != tt.want {
				t.Errorf("removing with %d, %d: got %t, error %v", tt.epoch, tt.generation, got, err)
			}
			if got := load(t, s); len(got) == 0 != tt.want {
				t.Errorf("%d, %d: the store has %+v", tt.epoch, tt.generation, got)
			}
			server.Do(t, "FLUSHALL")
		}
	})
}

// TestRemoveLeavesNothing shows that nothing of a removed state stays, and that a state that is not there can be removed.
func TestRemoveLeavesNothing(t *testing.T) {
	with(t, func(t *testing.T, server *redistest.Server, s *Store) {
		key := breaker.Key{Upstream: "a/b", Route: "{c} %2F", Node: "ä\n"}
		weird := state("x", 1, 1)
		weird.Saved.Key = key
		write(t, s, weird, true)
		if got := load(t, s); len(got) != 1 || got[0].Saved.Key != key {
			t.Errorf("got %+v, want the key %q", got, key)
		}
		for range 2 {
			if removed, err := s.Remove(t.Context(), key, 1, 1); err != nil || !removed {
				t.Errorf("removed %t, error %v", removed, err)
			}
		}
		if got, want := server.Keys(t), []string{s.key(markKey)}; !slices.Equal(got, want) {
			t.Errorf("the keys are %q, want %q", got, want)
		}
	})
}

// TestStatesExpire shows that a state whose time to live is over is gone, also from the set.
func TestStatesExpire(t *testing.T) {
	with(t, func(t *testing.T, server *redistest.Server, s *Store) {
		write(t, s, state("a", 1, 1), true)
		write(t, s, state("b", 1, 1), true)
		if ttl := server.Do(t, "PTTL", s.stateKey(breaker.Key{Upstream: "a"})).(int64); ttl <= grace.Milliseconds() || ttl > (grace+time.Minute).Milliseconds() {
			t.Errorf("the state lives for %d ms", ttl)
		}
		server.Do(t, "PEXPIRE", s.stateKey(breaker.Key{Upstream: "a"}), 1)
		redistest.Wait(t, "the state to expire", func() bool { return len(load(t, s)) == 1 })
		if got, want := server.Do(t, "SCARD", s.key(statesKey)), int64(1); got != want {
			t.Errorf("the set has %v keys, want %d", got, want)
		}
	})
}

// TestLoadMany shows that each of many states is loaded once.
func TestLoadMany(t *testing.T) {
	with(t, func(t *testing.T, server *redistest.Server, s *Store) {
		const n = 1234
		values := make([]stateValue, n)
		for i := range values {
			st := state(fmt.Sprintf("upstream-%d", i), 1, 1)
			var err error
			if values[i], err = encodeState(&st, recordtest.Date); err != nil {
				t.Fatal(err)
			}
		}
		for part := range slices.Chunk(values, chunk) {
			if _, err := s.writeValues(t.Context(), part); err != nil {
				t.Fatal(err)
			}
		}
		seen := map[breaker.Key]bool{}
		for _, stored := range load(t, s) {
			if seen[stored.Saved.Key] {
				t.Errorf("%s is there twice", stored.Saved.Key)
			}
			seen[stored.Saved.Key] = true
		}
		if len(seen) != n {
			t.Errorf("%d states were loaded, want %d", len(seen), n)
		}
	})
}

// TestGarbageInStates shows that values that cannot be read are left out with one warning, and that a write replaces them.
func TestGarbageInStates(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		server := redistest.Start(t, kind)
		s, log := open(t, Options{URL: "redis://" + server.Addr})
		write(t, s, state("good", 1, 1), true)
		key := func(upstream string) string { return s.stateKey(breaker.Key{Upstream: upstream}) }
		good := server.Do(t, "GET", key("good")).(string)
		const life = "100000000"
		garbage := map[string][]any{
			"text":      {"SET", key("text"), "hello\x00\xff", "PX", life},
			"list":      {"RPUSH", key("list"), "a"},
			"empty":     {"SET", key("empty"), "", "PX", life},
			"large":     {"SETRANGE", key("large"), maxValueBytes, "x"},
			"newer":     {"SET", key("newer"), strings.Replace(good, `"format":2`, `"format":3`, 1), "PX", life},
			"immortal":  {"SET", key("immortal"), strings.Replace(good, `"good"`, `"immortal"`, 1)},
			"different": {"SET", key("different"), good, "PX", life},
		}
		for upstream, command := range garbage {
			server.Do(t, command...)
			server.Do(t, "SADD", s.key(statesKey), key(upstream))
		}
		server.Do(t, "SET", "foreign", "x")
		server.Do(t, "SADD", s.key(statesKey), "foreign", s.key(viewKey))
		if got := load(t, s); len(got) != 1 || got[0].Saved.Key.Upstream != "good" {
			t.Errorf("got %+v, want the good state alone", got)
		}
		if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "count=9") {
			t.Errorf("the log has %d lines, want one with the count 9:\n%s", lines, log)
		}
		for upstream := range garbage {
			want := upstream != "newer" && upstream != "immortal" && upstream != "different"
			write(t, s, state(upstream, 0, 0), want) // three of them have a fence of epoch 1
			write(t, s, state(upstream, 1, 1), true)
		}
		if got := load(t, s); len(got) != 1+len(garbage) {
			t.Errorf("got %d states, want all", len(got))
		}
	})
}

// TestFrozenStates shows that loading, writing and removing fail while the server does not answer.
func TestFrozenStates(t *testing.T) {
	with(t, func(t *testing.T, server *redistest.Server, s *Store) {
		server.Freeze(t)
		defer server.Thaw(t)
		begin := time.Now()
		if all, err := s.Load(t.Context()); err == nil {
			t.Errorf("loaded %+v", all)
		}
		st := state("a", 1, 1)
		if written, err := s.Write(t.Context(), &st); err == nil || written {
			t.Errorf("written %t, error %v", written, err)
		}
		if removed, err := s.Remove(t.Context(), st.Saved.Key, 1, 1); err == nil || removed {
			t.Errorf("removed %t, error %v", removed, err)
		}
		if took := time.Since(begin); took > 10*timeLimit {
			t.Errorf("they took %s, want at most %s each", took, timeLimit)
		}
	})
}
