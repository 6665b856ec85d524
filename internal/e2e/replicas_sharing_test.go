package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/internal/redistest"
)

const (
	// alternatives is how many breakers of each data path there are, so that a test finds one whose owner is a given replica.
	alternatives = 16
	// The policy of all shared breakers has these numbers.
	tripsAfter = 6
	permits    = 3
	needed     = 40
	openFor    = 4 * time.Second
)

// Breakers of these tests trip after a number of failures in a row. Those by rate need as many calls, of which half may be good.
var (
	byRun  = sharedBreaker("failureRateThreshold: 0%")
	byRate = sharedBreaker(fmt.Sprintf("failureRateThreshold: 50%%, minimumNumberOfCalls: %d", tripsAfter))
)

func sharedBreaker(rule string) string {
	return fmt.Sprintf("breaker: {consecutiveFailures: %d, %s, slowCallRateThreshold: 0%%, waitDurationInOpenState: %s, "+
		"permittedNumberOfCallsInHalfOpenState: %d, successThreshold: %d, maxWaitDurationInHalfOpenState: 1h}", tripsAfter, rule, openFor, permits, needed)
}

// fellBack is the status of the fallback. No service and no error of a proxy has it.
const fellBack = http.StatusNonAuthoritativeInfo

// dataPath has the breakers of one data path, which lead to one service.
type dataPath struct {
	name     string
	upstream *upstream
	used     map[string]bool // breakers that had a test
}

// sharing are control planes that share their breakers, and proxies each of which may use every control plane.
type sharing struct {
	root    *testing.T // processes end with it, though a subtest has started them
	store   *redistest.Server
	all     []*replica
	proxies []*mesh
	paths   []*dataPath
}

// replica is one of the control planes.
type replica struct {
	*operated
	name  string
	flags []string
	away  bool // it is killed, frozen, or cut off
}

// sharingStories returns the stories of replicas that share their breakers. A story in which the store has no part runs with one of them.
func sharingStories() []sharingStory {
	both, redis, valkey := []redistest.Kind{redistest.Redis, redistest.Valkey}, []redistest.Kind{redistest.Redis}, []redistest.Kind{redistest.Valkey}
	return []sharingStory{
		{"failures of all proxies trip a breaker", both, tripTogether},
		{"few calls are logged", redis, sampleTogether},
		{"changes by hand are in force everywhere", valkey, changeByHand},
		{"an owner is killed", both, loseOwner(killOwner)},
		{"an owner is frozen", redis, loseOwner(freezeOwner)},
		{"an owner stops in order", valkey, loseOwner(stopOwner)},
		{"the store is lost", both, loseStore},
		{"the store fails over", both, failOver},
		{"an owner is cut off", redis, cutOff},
		{"all replicas are restarted", both, rollingRestart},
		{"each call is counted once", valkey, countOnce},
		{"each proxy has its own breaker", valkey, eachProxyItsOwn},
	}
}

type sharingStory struct {
	name   string
	stores []redistest.Kind
	story  func(*testing.T, redistest.Kind)
}

// TestReplicasShareBreakers has the stories of replicas that share their breakers. Each has eight processes, which mostly wait.
func TestReplicasShareBreakers(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, store redistest.Kind) {
		for _, s := range sharingStories() {
			if slices.ContainsFunc(s.stores, func(k redistest.Kind) bool { return k.Name == store.Name }) {
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					s.story(t, store)
				})
			}
		}
	})
}

// newSharing starts three control planes and four proxies. The policy of each breaker has the fields. change may change the
// flags of a replica before it starts; nil: it does not.
func newSharing(t *testing.T, store *redistest.Server, change func(*replica), fields ...string) *sharing {
	t.Helper()
	w := &sharing{root: t, store: store, paths: []*dataPath{
		{name: "Adaptive", upstream: newUpstream(t, ownIP(t)), used: map[string]bool{}},
		{name: "Inline", upstream: newUpstream(t, ownIP(t)), used: map[string]bool{}},
	}}
	text := w.policy(fields...)
	var at []string
	for _, name := range []string{"alpha", "beta", "gamma"} {
		r := &replica{operated: prepareOperated(t, ownIP(t), text), name: name}
		r.flags = []string{"--admin-token-file", r.tokenFile, "--instance", name, "--store", "redis://" + store.Addr, "--log-level", "debug"}
		if change != nil {
			change(r)
		}
		w.all, at = append(w.all, r), append(at, r.ip+":18000")
		r.startControl(t, r.flags...)
	}
	w.agree(t)
	for i := range 4 {
		ip := ownIP(t)
		p := &mesh{ip: ip, caller: newCaller(t, ip+":10000")}
		p.runEnvoy(t, p.bootstrap(t, "--node-id", fmt.Sprint("shop-", i+1), "--xds", strings.Join(at, ",")))
		w.proxies = append(w.proxies, p)
	}
	return w
}

// policy returns the policy of all breakers.
func (w *sharing) policy(fields ...string) string {
	var b strings.Builder
	for _, p := range w.paths {
		for i := range alternatives {
			spec := []string{"dataPath: " + p.name, "timeout: 5s", fmt.Sprintf("fallback: {response: {status: %d, body: 'fallback'}}", fellBack)}
			if p.name == "Inline" { // so that a call without an answer does not reach the service
				spec = append(spec, "failOpen: false")
			}
			b.WriteString(service(p.host(i), p.upstream.address) + policyFor(p.host(i), append(spec, fields...)...))
		}
	}
	return b.String()
}

func (p *dataPath) host(i int) string { return fmt.Sprintf("%s-%d", strings.ToLower(p.name), i+1) }

// live returns the replicas that are not away.
func (w *sharing) live() (live []*replica) {
	for _, r := range w.all {
		if !r.away {
			live = append(live, r)
		}
	}
	return live
}

// agree waits until all replicas that are not away have each other as members, and reach each other.
func (w *sharing) agree(t *testing.T) {
	t.Helper()
	var names []string
	for _, r := range w.live() {
		names = append(names, r.name)
	}
	eventually(t, "the replicas agree", func() error {
		epochs := map[uint64]bool{}
		for _, r := range w.live() {
			var seen api.Replicas
			if err := r.read("/replicas", &seen); err != nil {
				return err
			}
			var members []string
			for _, m := range seen.Members {
				members = append(members, m.Name)
			}
			slices.Sort(members)
			epochs[seen.Epoch] = true
			if !slices.Equal(members, names) || seen.Unreachable > 0 || len(epochs) > 1 {
				return fmt.Errorf("%s has the members %q at epoch %d, of which it does not reach %d; want %q", r.name, members, seen.Epoch, seen.Unreachable, names)
			}
		}
		return nil
	})
}

// read reads a page of a replica.
func (r *replica) read(path string, into any) error {
	body, err := fetch("http://" + r.ip + ":18080" + path)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(body), into)
}

// owner returns the replica that owns a breaker. All replicas that are not away have to say the same.
func (w *sharing) owner(t *testing.T, host string) (owner *replica) {
	t.Helper()
	eventually(t, "the owner of "+host, func() error {
		owner = nil
		for _, r := range w.live() {
			var one api.OneBreaker
			if err := r.read("/breakers/"+host, &one); err != nil {
				return err
			}
			i := slices.IndexFunc(w.live(), func(r *replica) bool { return r.name == one.Owner })
			if i < 0 || one.LocalView || owner != nil && owner != w.live()[i] {
				return fmt.Errorf("%s says that %q is the owner (a local view: %v)", r.name, one.Owner, one.LocalView)
			}
			owner = w.live()[i]
		}
		return nil
	})
	return owner
}

// subject is a breaker under test.
type subject struct {
	*sharing
	*dataPath
	host string
}

// pick returns a breaker of each data path that had no test before. All of them have one owner.
func (w *sharing) pick(t *testing.T) (owner *replica, subjects []*subject) {
	t.Helper()
	w.agree(t)
	for _, owner := range w.live() {
		var subjects []*subject
		for _, p := range w.paths {
			for i := range alternatives {
				if host := p.host(i); !p.used[host] && w.owner(t, host) == owner {
					subjects = append(subjects, &subject{w, p, host})
					break
				}
			}
		}
		if len(subjects) == len(w.paths) {
			for _, s := range subjects {
				s.used[s.host] = true
			}
			return owner, subjects
		}
	}
	t.Fatal("no replica owns a breaker of each data path that had no test before")
	return nil, nil
}

// everywhere waits until all replicas that are not away say that the breaker is in a state.
func (s *subject) everywhere(t *testing.T, state string) {
	t.Helper()
	eventually(t, s.host+" is "+state+" for all replicas", func() error { return s.is(state) })
}

// is returns an error unless all replicas that are not away say that the breaker is in a state.
func (s *subject) is(state string) error {
	for _, r := range s.live() {
		var b breakerStatus
		if err := r.read("/breakers/"+s.host, &b); err != nil {
			return err
		}
		if b.State != state {
			return fmt.Errorf("%s says that %s is %s, with the counts %+v", r.name, s.host, b.State, b.Counts)
		}
	}
	return nil
}

// reject waits until all proxies reject calls.
func (s *subject) reject(t *testing.T) {
	t.Helper()
	eventually(t, "all proxies reject calls of "+s.host, func() error { return s.answers(t, fellBack) })
}

// pass waits until no proxy rejects calls.
func (s *subject) pass(t *testing.T) {
	t.Helper()
	eventually(t, "no proxy rejects calls of "+s.host, func() error { return s.answers(t, http.StatusOK) })
}

// answers returns an error unless a call through each proxy has a status.
func (s *subject) answers(t *testing.T, status int) error {
	var wrong []error
	for i, p := range s.proxies {
		r, err := p.get(t.Context(), s.host, "/")
		if err == nil && r.status != status {
			err = fmt.Errorf("proxy %d: got %d %q, want %d", i+1, r.status, r.body, status)
		}
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

// fails makes failing calls one after the other, each through another proxy than the one before, until n of them are counted. It
// returns how many it made. There are more than n where a replica did not answer a proxy in time, or where a proxy's log went to a
// replica that has ended.
func (s *subject) fails(t *testing.T, n int) (made int) {
	t.Helper()
	s.upstream.behave(answer(http.StatusInternalServerError))
	counted := func() int { return s.live()[0].breaker(t, s.host).Counts.Failures }
	before := counted()
	var last time.Time
	eventually(t, "failing calls are counted", func() error {
		got := counted() - before
		if got >= n {
			return nil
		}
		if made >= n && time.Since(last) < 2*time.Second {
			return fmt.Errorf("%d are counted of %d; %s", got, made, s.counts(t))
		}
		r, err := s.proxies[made%len(s.proxies)].get(t.Context(), s.host, "/")
		if err == nil && r.status != http.StatusInternalServerError {
			return fmt.Errorf("got %d %q, want the service's 500; %d are counted of %d", r.status, r.body, got, made)
		}
		made, last = made+1, time.Now()
		return errors.Join(err, fmt.Errorf("%d are counted of %d", got, made))
	})
	return made
}

// counts says what each replica that is not away says of the breaker.
func (s *subject) counts(t *testing.T) string {
	t.Helper()
	var all []string
	for _, r := range s.live() {
		b := r.breaker(t, s.host)
		all = append(all, fmt.Sprintf("%s says that %s is %s at %s, with the counts %+v", r.name, s.host, b.State, b.Owner, b.Counts))
	}
	return strings.Join(all, "; ")
}

// crowd are callers of a breaker through all proxies.
type crowd []*load

// crowd starts two callers at each proxy. A good response is one of the service, or the fallback.
func (s *subject) crowd(t *testing.T) crowd {
	t.Helper()
	var c crowd
	for _, p := range s.proxies {
		c = append(c, p.loadOf(t, s.host, 2, func(r reply) bool {
			return r.status == http.StatusOK || r.status == fellBack && r.body == "fallback" ||
				r.status == http.StatusInternalServerError && r.body == "status 500\n"
		}))
	}
	return c
}

// calls returns how many calls have ended.
func (c crowd) calls() (n int64) {
	for _, l := range c {
		n += l.calls.Load()
	}
	return n
}

// clean ends the callers, and fails the test if a response was not good.
func (c crowd) clean(t *testing.T) {
	t.Helper()
	for _, l := range c {
		l.clean(t)
	}
}
