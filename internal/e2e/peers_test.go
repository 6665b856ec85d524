package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// newPeers starts n control planes that know each other by their addresses, without a store, and a proxy of all of them.
func newPeers(t *testing.T, n int, policyText string) (r *replicas, flags [][]string) {
	t.Helper()
	r = &replicas{}
	var at []string
	for range n {
		o := prepareOperated(t, ownIP(t), policyText)
		r.all, at = append(r.all, o), append(at, o.ip+":18000")
	}
	for i, o := range r.all {
		flags = append(flags, []string{"--peers", strings.Join(at, ","), "--instance", fmt.Sprintf("replica-%d", i), "--state-dir", o.stateDir})
		o.startControl(t, flags[i]...)
	}
	r.mesh = r.all[0].mesh
	r.runEnvoy(t, r.bootstrap(t, "--xds", strings.Join(at[1:], ",")))
	return r, flags
}

// haveMembers waits until replicas have exactly some members, and returns their epoch.
func haveMembers(t *testing.T, among []*operated, names ...string) (epoch uint64) {
	t.Helper()
	eventually(t, fmt.Sprintf("all have the members %v", names), func() error {
		epoch = 0
		for _, o := range among {
			page, err := fetch("http://" + o.ip + ":18080/replicas")
			if err != nil {
				return err
			}
			var found struct {
				View    string `json:"view"`
				Epoch   uint64 `json:"epoch"`
				Members []struct{ Name string }
			}
			if err := json.Unmarshal([]byte(page), &found); err != nil {
				return err
			}
			var got []string
			for _, m := range found.Members {
				got = append(got, m.Name)
			}
			slices.Sort(got)
			if !slices.Equal(got, names) || found.View != "mesh" || epoch != 0 && epoch != found.Epoch {
				return fmt.Errorf("%s: %s", o.ip, page)
			}
			epoch = found.Epoch
		}
		return nil
	})
	return epoch
}

// others returns all replicas but some.
func (r *replicas) others(without ...*operated) []*operated {
	return slices.DeleteFunc(slices.Clone(r.all), func(o *operated) bool { return slices.Contains(without, o) })
}

// owner returns the index of the replica that owns a breaker.
func (r *replicas) owner(t *testing.T, key string) (index int) {
	t.Helper()
	eventually(t, "the breaker has an owner", func() error {
		var s struct {
			Owner string `json:"owner"`
		}
		if err := json.Unmarshal([]byte(r.page(t, "/breakers/"+key)), &s); err != nil {
			return err
		}
		_, err := fmt.Sscanf(s.Owner, "replica-%d", &index)
		return err
	})
	return index
}

// TestReplicasWithoutAStore: three replicas that know only each other's addresses go on when the owner of an open breaker is killed:
// the others have the breaker, try the service again, and close it. A replica that comes back joins. The last one that is left says so.
func TestReplicasWithoutAStore(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, ownIP(t))
	r, flags := newPeers(t, 3, service("payments", u.address)+policyFor("payments", "dataPath: Inline", "timeout: 1s", threeProbes))
	first := haveMembers(t, r.all, "replica-0", "replica-1", "replica-2")

	u.behave(answer(http.StatusInternalServerError))
	r.must(t, "payments", http.StatusInternalServerError)
	for _, o := range r.all {
		eventually(t, "the breaker is not closed at "+o.ip, func() error {
			if o.breaker(t, "payments").State == "closed" {
				return errors.New("it is closed")
			}
			return nil
		})
	}
	i := r.owner(t, "payments")
	lost := r.all[i]
	names := []string{"replica-0", "replica-1", "replica-2"}
	lost.control.kill()
	rest := r.others(lost)
	second := haveMembers(t, rest, slices.Delete(slices.Clone(names), i, i+1)...)

	u.behave(answer(http.StatusOK))
	eventually(t, "the service is tried, and the breaker closes", func() error {
		if _, err := r.get(t.Context(), "payments", "/"); err != nil {
			return err
		}
		return errors.Join(rest[0].inState(t, "payments", "closed"), rest[1].inState(t, "payments", "closed"))
	})

	lost.startControl(t, flags[i]...)
	third := haveMembers(t, r.all, names...)
	if first == 0 || second <= first || third <= second {
		t.Errorf("epochs are %d, %d and %d, want each to be above the one before", first, second, third)
	}
	lost.state(t, "payments", "closed")

	for _, o := range rest {
		o.control.kill()
	}
	eventually(t, "the last one says that it is alone", func() error {
		if !strings.Contains(lost.control.output(), "this replica is in touch with no majority of the addresses of --peers") {
			return errors.New("it does not say so")
		}
		return nil
	})
}

// TestReplicasWithoutAStoreRememberBreakers: an open breaker is still open when all replicas have stopped in order, one after the
// other, and when all have been killed. Only its owner has kept it.
func TestReplicasWithoutAStoreRememberBreakers(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, ownIP(t))
	const long = "breaker: {consecutiveFailures: 1, failureRateThreshold: 0%, waitDurationInOpenState: 10m}"
	r, flags := newPeers(t, 3, service("payments", u.address)+policyFor("payments", "dataPath: Inline", long))
	names := []string{"replica-0", "replica-1", "replica-2"}
	haveMembers(t, r.all, names...)
	u.behave(answer(http.StatusInternalServerError))
	r.must(t, "payments", http.StatusInternalServerError)
	for _, o := range r.all {
		o.state(t, "payments", "open")
	}
	eventually(t, "the owner has kept the breaker", func() error {
		kept := 0
		for _, o := range r.all {
			data, err := os.ReadFile(filepath.Join(o.stateDir, "breakers.json"))
			if err == nil && strings.Contains(string(data), "payments") {
				kept++
			}
		}
		if kept != 1 {
			return fmt.Errorf("%d replicas have kept it", kept)
		}
		return nil
	})
	for i, o := range r.all {
		if code := o.terminate(t); code != 0 {
			t.Errorf("exit code %d of replica %d, want 0", code, i)
		}
	}
	for round := range 2 {
		for i, o := range r.all {
			o.startControl(t, flags[i]...)
		}
		haveMembers(t, r.all, names...)
		for _, o := range r.all {
			o.state(t, "payments", "open")
		}
		if round == 0 {
			for _, o := range r.all {
				o.control.kill()
			}
		}
	}
}
