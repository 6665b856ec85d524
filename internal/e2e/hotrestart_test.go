package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"breakwater.dev/internal/envoybin"
)

// epochs are the processes of a proxy with hot restarts. Each process takes over the sockets of the one before it.
type epochs struct {
	*mesh
	config, base string
	last         int // the epoch of the latest process; -1: there is none
}

func newEpochs(t *testing.T, m *mesh) *epochs {
	t.Helper()
	e := &epochs{mesh: m, config: filepath.Join(t.TempDir(), "envoy.yaml"), base: strconv.Itoa(1000 + rand.IntN(1<<20)), last: -1}
	if err := os.WriteFile(e.config, []byte(m.bootstrap(t)), 0o644); err != nil {
		t.Fatal(err)
	}
	return e
}

// next starts the next process, and waits until it serves.
func (e *epochs) next(t *testing.T) *process {
	t.Helper()
	e.last++
	p := start(t, fmt.Sprintf("envoy epoch %d", e.last), envoybin.Path(t), "-c", e.config, "--base-id", e.base,
		"--restart-epoch", strconv.Itoa(e.last), "--drain-time-s", "1", "--parent-shutdown-time-s", "3", "--concurrency", "2", "-l", "warn")
	e.ready(t, p, "http://"+e.ip+":9901/ready")
	return p
}

// TestHotRestart shows that a hot restart of a proxy loses no call of a closed breaker, and lets no call pass an open one.
func TestHotRestart(t *testing.T) {
	eachPath(t, func(t *testing.T, dataPath string) {
		ip := ownIP(t)
		u := newUpstream(t, ip)
		m := prepareMesh(t, ip, service("payments", u.address)+policyFor("payments", dataPath, "fallback: {response: {status: 200, body: instead}}",
			"breaker: {consecutiveFailures: 3, failureRateThreshold: 0%, waitDurationInOpenState: 1h}"))
		m.startControl(t)
		e := newEpochs(t, m)
		first := e.next(t)
		m.passes(t, "payments")

		closed := m.load(t, 2)
		second := e.next(t)
		first.ends(t)
		closed.more(t, 100)
		closed.clean(t)
		if err := m.inState(t, "payments", "closed"); err != nil {
			t.Error(err)
		}

		u.behave(answer(http.StatusInternalServerError))
		eventually(t, "the breaker opens", func() error {
			r, err := m.get(t.Context(), "payments", "/")
			if err == nil && r.body != "instead" {
				err = fmt.Errorf("got %d %q", r.status, r.body)
			}
			return err
		})
		m.state(t, "payments", "open")
		reached := u.calls.Load()
		open := m.load(t, 2)
		passed := m.unanswered(t) // in the processes that end
		e.next(t)
		second.ends(t)
		open.more(t, 100)
		open.ends()
		passed += m.unanswered(t)
		open.atMost(t, passed)
		if n := u.calls.Load() - reached; n > int64(passed) {
			t.Errorf("%d calls reached the service of an open breaker, and the control plane did not answer in time for %d", n, passed)
		}
		if got := m.metric(t, "breakwater_xds_duplicate_nodes"); got != 0 {
			t.Errorf("%v duplicates, want none, because there is one proxy", got)
		}
	})
}
