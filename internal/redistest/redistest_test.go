package redistest

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestServer shows what tests can do to a server.
func TestServer(t *testing.T) {
	Each(t, func(t *testing.T, kind Kind) {
		s := Start(t, kind)
		s.Do(t, "SET", "a", "1")
		if got := s.Do(t, "GET", "a"); got != "1" {
			t.Errorf("got %v, want 1", got)
		}
		if got, want := s.Keys(t), []string{"a"}; !slices.Equal(got, want) {
			t.Errorf("got the keys %q, want %q", got, want)
		}
		s.Freeze(t)
		if err := exchange(t, s); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("frozen: got error %v, want the end of the deadline", err)
		}
		s.Thaw(t)
		if err := exchange(t, s); err != nil {
			t.Errorf("thawed: %v", err)
		}
		s.Kill(t)
		if err := exchange(t, s); err == nil {
			t.Error("a killed server answers")
		}
		s.Restart(t)
		if got := s.Do(t, "GET", "a"); got != nil {
			t.Errorf("got %v after a restart, want nothing", got)
		}
	})
}

// exchange sends one command on a connection of its own, and waits 200 ms for the answer.
func exchange(t *testing.T, s *Server) error {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 10))
	return err
}

// TestFailover shows that the Sentinel replaces a dead primary.
func TestFailover(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, kind Kind) {
		f := StartFailover(t, kind)
		f.Primary.Do(t, "SET", "a", "1")
		Wait(t, "the replica to have the key", func() bool { return f.Replica.Do(t, "GET", "a") == "1" })
		f.Primary.Kill(t)
		Wait(t, "the replica to be the primary", func() bool {
			role, _ := f.Replica.Do(t, "ROLE").([]any)
			return len(role) > 0 && role[0] == "master"
		})
	})
}

// TestCluster shows that each server of a cluster has a part of the slots.
func TestCluster(t *testing.T) {
	t.Parallel()
	Each(t, func(t *testing.T, kind Kind) {
		for _, n := range []int{1, 3} {
			servers := StartCluster(t, kind, n)
			_, err := servers[n-1].admin.Set(t.Context(), "a", "1", 0).Result() // slot 15495
			if err != nil {
				t.Errorf("%d servers: %v", n, err)
			}
			_, err = servers[0].admin.Set(t.Context(), "a", "1", 0).Result()
			if moved := err != nil && strings.HasPrefix(err.Error(), "MOVED 15495 "); moved != (n > 1) {
				t.Errorf("%d servers: got error %v from the first one", n, err)
			}
		}
	})
}
