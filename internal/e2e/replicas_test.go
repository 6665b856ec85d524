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

// replicas are control planes that have the same policy and share their breakers, with a proxy that may use each.
type replicas struct {
	*mesh // the proxy
	all   []*operated
}

// newReplicas starts n control planes that know each other by their addresses, and a proxy that has the address of each.
func newReplicas(t *testing.T, n int, policyText string) *replicas {
	t.Helper()
	r := &replicas{}
	var at, names []string
	for range n {
		o := prepareOperated(t, ownIP(t), policyText)
		r.all, at = append(r.all, o), append(at, o.ip+":18000")
	}
	for i, o := range r.all {
		names = append(names, fmt.Sprint("replica-", i))
		o.asReplica = []string{"--peers", strings.Join(at, ","), "--instance", names[i]}
		o.startOperated(t)
	}
	haveMembers(t, r.all, names...)
	r.mesh = r.all[0].mesh
	r.runEnvoy(t, r.bootstrap(t, "--xds", strings.Join(at, ",")))
	return r
}

// sum adds up a metric of all replicas but one.
func (r *replicas) sum(series string, without *operated) (sum float64, err error) {
	for _, o := range r.all {
		if o == without {
			continue
		}
		v, err := o.tryMetric(series)
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}

// atLeast waits until a metric of all replicas but one adds up to a number.
func (r *replicas) atLeast(t *testing.T, series string, least float64, without *operated) {
	t.Helper()
	eventually(t, series, func() error {
		sum, err := r.sum(series, without)
		if err == nil && sum < least {
			err = fmt.Errorf("the sum is %v, want at least %v", sum, least)
		}
		return err
	})
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

// asked counts the calls that asked the control plane in vain.
type asked struct {
	late   int // got no answer in time, and went on
	failed int // lost their stream, and went on
}

func (r *replicas) asked(t *testing.T) asked {
	t.Helper()
	late := r.stat(t, "ext_proc.*message_timeouts")
	return asked{late: late, failed: r.stat(t, "ext_proc.*failure_mode_allowed") - late}
}

// stat adds up the counters of the proxy whose names match an expression.
func (r *replicas) stat(t *testing.T, expression string) (sum int) {
	t.Helper()
	page, err := fetch("http://" + r.ip + ":9901/stats?filter=" + expression)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`: (\d+)\n`).FindAllStringSubmatch(page, -1) {
		n, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

// departure is a way in which a replica is lost and comes back.
type departure struct {
	name  string
	begin func(*testing.T, *operated)
	end   func(*testing.T, *operated)
}

var departures = []departure{
	{"killed", func(_ *testing.T, o *operated) { o.control.kill() }, func(t *testing.T, o *operated) { o.startOperated(t) }},
	{"frozen",
		func(t *testing.T, o *operated) { o.control.signal(t, syscall.SIGSTOP) },
		func(t *testing.T, o *operated) { o.control.signal(t, syscall.SIGCONT) }},
	{"stopped in order",
		func(t *testing.T, o *operated) { o.control.signal(t, syscall.SIGTERM) },
		func(t *testing.T, o *operated) {
			if code := o.control.ends(t); code != 0 || strings.Contains(o.control.output(), "did not end in time") {
				t.Errorf("exit code %d, want 0 with no request that did not end:\n%s", code, tail(o.control.output(), 5))
			}
			o.startOperated(t)
		}},
}

// lose takes the replica away that the proxy gets its resources from, waits until the proxy has its streams at the others
// again, lets more calls happen, and brings the replica back, until it decides on calls again. It returns how many calls
// asked in vain before the streams were back, and how many after.
func (r *replicas) lose(t *testing.T, d departure, more func()) (before, after asked) {
	t.Helper()
	home, was := r.home(t), r.asked(t)
	logs, err := r.sum("breakwater_feed_streams", nil)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	d.begin(t, home)
	r.atLeast(t, "breakwater_xds_nodes", 1, home)
	resources := time.Since(began)
	r.atLeast(t, "breakwater_feed_streams", logs, home)
	logged := time.Since(began)
	now := r.asked(t)
	before = asked{now.late - was.late, now.failed - was.failed}
	more()
	last := r.asked(t)
	after = asked{last.late - now.late, last.failed - now.failed}
	t.Logf("%s: resources come from another replica after %s, logs go to one after %s; by then %d calls had no answer in time and %d lost their stream, later %d and %d",
		d.name, resources.Round(time.Millisecond), logged.Round(time.Millisecond), before.late, before.failed, after.late, after.failed)

	d.end(t, home)
	const decided = `breakwater_extproc_decisions_total{decision="admitted"}`
	const rejected = `breakwater_extproc_decisions_total{decision="rejected"}`
	then := home.metric(t, decided) + home.metric(t, rejected)
	eventually(t, "the replica that is back decides on calls", func() error {
		if now := home.metric(t, decided) + home.metric(t, rejected); now < then+10 {
			return fmt.Errorf("it has decided on %v", now-then)
		}
		return nil
	})
	return before, after
}

// askers is how many callers of each service the tests of replicas have.
const askers = 3

// TestReplicaIsLost shows that no call fails when one of three replicas is killed, hangs, or stops in order, and that
// calls that ask are decided by the others.
func TestReplicaIsLost(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, ownIP(t))
	r := newReplicas(t, 3, service("asks", u.address)+guard("asks")+service("logs", u.address)+adaptive("logs"))
	good := func(r reply) bool { return r.status == http.StatusOK }
	asks, logs := r.loadOf(t, "asks", askers, good), r.loadOf(t, "logs", askers, good)
	logs.more(t, 100)
	r.atLeast(t, "breakwater_feed_streams", 1, nil)
	for _, d := range departures {
		calls := asks.calls.Load()
		before, after := r.lose(t, d, func() { asks.more(t, 2000) })
		calls = asks.calls.Load() - calls
		// Calls on their way ask another replica.
		if before.failed+after.failed > askers {
			t.Errorf("%s: %d calls were not decided because their stream failed, want at most %d", d.name, before.failed+after.failed, askers)
		}
		// A third of them would ask the frozen one if it were not avoided.
		if int64(after.late)*5 > calls {
			t.Errorf("%s: %d of %d calls waited in vain", d.name, after.late, calls)
		}
	}
	asks.clean(t)
	logs.clean(t)
}

// TestTrialOfADeadReplicaCostsNothing shows that calls that ask a dead replica, when its ejection is over, are decided by another
// one.
func TestTrialOfADeadReplicaCostsNothing(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, ownIP(t))
	r := newReplicas(t, 2, service("asks", u.address)+guard("asks"))
	asks := r.loadOf(t, "asks", askers, func(r reply) bool { return r.status == http.StatusOK })
	asks.more(t, 100)
	r.all[1].control.kill()
	ejections := func() int64 { return int64(r.stat(t, "outlier_detection.ejections_enforced_total")) }
	grows(t, "the first ejection", 1, ejections)
	asks.more(t, 100)
	was := r.asked(t)
	grows(t, "the ejection after the trial", 2, ejections)
	asks.more(t, 100)
	if now := r.asked(t); now.failed != was.failed {
		t.Errorf("%d calls of the trial were not decided", now.failed-was.failed)
	}
	asks.clean(t)
}

// TestAllReplicasAreLost shows that no call fails without any replica, and that the proxy finds the first one that is back, though
// it has left out both.
func TestAllReplicasAreLost(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, ownIP(t))
	r := newReplicas(t, 2, service("asks", u.address)+guard("asks"))
	asks := r.loadOf(t, "asks", askers, func(r reply) bool { return r.status == http.StatusOK })
	asks.more(t, 100)
	for _, o := range r.all {
		o.control.kill()
	}
	grows(t, "both are ejected", 2, func() int64 { return int64(r.stat(t, "outlier_detection.ejections_active")) })
	asks.more(t, 100)
	back := r.all[1]
	back.startOperated(t)
	r.atLeast(t, "breakwater_xds_nodes", 1, r.all[0])
	eventually(t, "the replica decides on calls", func() error {
		if n := back.breaker(t, "asks").Counts.Requests; n < 10 {
			return fmt.Errorf("it has decided on %d", n)
		}
		return nil
	})
	asks.clean(t)
}

// TestBreakersStayOpenWithoutAReplica shows that open breakers reject on while one of three replicas is killed, hangs, or
// stops in order. In the data path Inline, only calls that were not decided pass.
func TestBreakersStayOpenWithoutAReplica(t *testing.T) {
	t.Parallel()
	asked, gated := newUpstream(t, ownIP(t)), newUpstream(t, ownIP(t))
	r := newReplicas(t, 3, service("asks", asked.address)+guard("asks")+service("gated", gated.address)+adaptive("gated"))
	for _, key := range []string{"asks", "gated"} {
		r.all[0].byHand(t, "force", key, "open", "--for", "1h")
	}
	r.rejects(t, "gated")
	passed := gated.calls.Load()
	any := func(reply) bool { return true }
	asks, gates := r.loadOf(t, "asks", askers, any), r.loadOf(t, "gated", askers, any)
	for _, d := range departures {
		was := asked.calls.Load()
		before, after := r.lose(t, d, func() { asks.more(t, 1000) })
		undecided := int64(before.late + before.failed + after.late + after.failed)
		if n := asked.calls.Load() - was; n > undecided+askers {
			t.Errorf("%s: %d calls passed an open breaker, and %d were not decided", d.name, n, undecided)
		}
		if n := gated.calls.Load() - passed; n > 0 {
			t.Errorf("%s: %d calls passed the gate of an open breaker", d.name, n)
		}
	}
	asks.clean(t)
	gates.clean(t)
}
