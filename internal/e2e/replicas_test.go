package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// replicas are control planes that know nothing of one another and have the same policy, and a proxy that may use each.
type replicas struct {
	*mesh // the proxy
	all   []*operated
}

// newReplicas starts n control planes and a proxy.
func newReplicas(t *testing.T, n int, policyText string) *replicas {
	t.Helper()
	r := &replicas{}
	var at []string
	for range n {
		o := prepareOperated(t, ownIP(t), policyText)
		o.startOperated(t)
		r.all = append(r.all, o)
		at = append(at, o.ip+":18000")
	}
	r.mesh = r.all[0].mesh
	r.runEnvoy(t, r.bootstrap(t, "--xds", strings.Join(at[1:], ",")))
	return r
}

// sum adds up a metric of all replicas but one.
func (r *replicas) sum(series string, without *operated) (sum float64, err error) {
	for _, o := range r.all {
		if o != without {
			v, err := o.tryMetric(series)
			if err != nil {
				return 0, err
			}
			sum += v
		}
	}
	return sum, nil
}

// home returns the replica that the proxy gets its resources from.
func (r *replicas) home(t *testing.T) (home *operated) {
	t.Helper()
	eventually(t, "a replica has the proxy", func() error {
		for _, o := range r.all {
			if n, err := o.tryMetric("breakwater_xds_nodes"); err == nil && n == 1 {
				home = o
				return nil
			}
		}
		return errors.New("none has it")
	})
	return home
}

// stat adds up the counters of the proxy whose names match an expression.
func (r *replicas) stat(t *testing.T, expression string) (sum int) {
	t.Helper()
	page, err := fetch("http://" + r.ip + ":9901/stats?filter=" + expression)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`: (\d+)`).FindAllStringSubmatch(page, -1) {
		n, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

func (r *replicas) undecided(t *testing.T) int { return r.stat(t, "ext_proc.*failure_mode_allowed") }

// lossOf is a way to lose a replica.
type lossOf struct {
	name  string
	begin func(*testing.T, *operated)
	end   func(*testing.T, *operated)
}

var lostBy = []lossOf{
	{"killed", func(_ *testing.T, o *operated) { o.control.kill() }, func(t *testing.T, o *operated) { o.startOperated(t) }},
	{"frozen", func(t *testing.T, o *operated) { o.control.signal(t, syscall.SIGSTOP) }, func(t *testing.T, o *operated) { o.control.signal(t, syscall.SIGCONT) }},
	{"stopped", func(t *testing.T, o *operated) { o.control.signal(t, syscall.SIGTERM) }, func(t *testing.T, o *operated) {
		o.control.ends(t)
		o.startOperated(t)
	}},
}

func TestReplicaIsLost(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, ownIP(t))
	r := newReplicas(t, 3, service("inline", u.address)+guard("inline")+service("adaptive", u.address)+adaptive("adaptive"))
	good := func(r reply) bool { return r.status == http.StatusOK }
	inline, adaptive := r.loadOf(t, "inline", 2, good), r.loadOf(t, "adaptive", 6, good)
	inline.more(t, 100)
	adaptive.more(t, 100)
	for _, l := range lostBy {
		eventually(t, "both workers log", func() error {
			if n, err := r.sum("breakwater_feed_streams", nil); err != nil || n < 2 {
				return fmt.Errorf("%v streams, %v", n, err)
			}
			return nil
		})
		home := r.home(t)
		undecided, calls := r.undecided(t), inline.calls.Load()
		begin := time.Now()
		l.begin(t, home)
		after := map[string]time.Duration{}
		for _, what := range []struct {
			series string
			least  float64
		}{{"breakwater_xds_nodes", 1}, {"breakwater_feed_streams", 2}} {
			eventually(t, what.series, func() error {
				if n, err := r.sum(what.series, home); err != nil || n < what.least {
					return fmt.Errorf("%v, %v", n, err)
				}
				return nil
			})
			after[what.series] = time.Since(begin)
		}
		now, nowCalls := r.undecided(t), inline.calls.Load()
		t.Logf("%s: after %v; %d of %d calls undecided", l.name, after, now-undecided, nowCalls-calls)
		<-time.After(12 * time.Second)
		t.Logf("%s: later %d of %d undecided", l.name, r.undecided(t)-now, inline.calls.Load()-nowCalls)
		page, _ := fetch("http://" + r.ip + ":9901/stats?usedonly&filter=(ext_proc|cluster.breakwater.(outlier|upstream_(cx|rq)))")
		t.Log(page)
		l.end(t, home)
	}
	inline.clean(t)
	adaptive.clean(t)
}
