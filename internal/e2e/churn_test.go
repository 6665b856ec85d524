package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// churnFor is how long the policy changes all the time. From two minutes on the memory of all processes has to stay the same.
var churnFor = flag.Duration("churn", 15*time.Second, "how long a policy changes 20 times a second")

const (
	churnEvery = 50 * time.Millisecond // the mean time between changes
	stable     = 10                    // upstreams that are always there
	passing    = 20                    // upstreams that come and go
)

// churn is a mesh of two proxies whose policy changes all the time.
type churn struct {
	*mesh
	services []*upstream
	upstream [stable]churned
	there    [passing]bool
	proxies  []*mesh
	records  []*recorder
	changes  int

	calls, failed atomic.Int64
	failure       atomic.Value // the first, a string
}

// churned has the settings of an upstream that change.
type churned struct{ endpoints, timeout, limit, fallback int }

// TestPolicyThatChangesAllTheTime shows that no call fails while upstreams come and go, and endpoints, timeouts, limits and fallbacks
// change 20 times a second. The proxies get what changed and nothing else, and refuse nothing.
func TestPolicyThatChangesAllTheTime(t *testing.T) {
	t.Parallel()
	c := newChurn(t)
	before := c.metric(t, "go_goroutines")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	for _, p := range c.proxies {
		for i := range 4 {
			wg.Go(func() { c.callAll(ctx, p.caller, i) })
		}
	}
	samples := c.change(t, *churnFor)
	stop()
	wg.Wait()
	c.settles(t)
	if c.failed.Load() > 0 || c.calls.Load() < int64(c.changes) {
		t.Errorf("%d of %d calls failed, the first with %v", c.failed.Load(), c.calls.Load(), c.failure.Load())
	}
	resources := 0
	for _, r := range c.records {
		resources += r.clean(t)
	}
	if now := c.metric(t, "go_goroutines"); now > before+10 {
		t.Errorf("%v goroutines, and %v before", now, before)
	}
	t.Logf("%d changes, %v reloads, %d calls, %d resources sent in %v", c.changes, c.metric(t, `breakwater_reload_total{result="success"}`), c.calls.Load(), resources, c.sent(t))
	c.checkMemory(t, samples)
}

func newChurn(t *testing.T) *churn {
	t.Helper()
	ip := ownIP(t)
	c := &churn{mesh: prepareMesh(t, ip, service("payments", newUpstream(t, ip).address))}
	for range 3 {
		c.services = append(c.services, newUpstream(t, ip))
	}
	for i := range stable {
		c.writeStable(t, i)
	}
	c.startControl(t)
	for i := range 2 {
		own := c.mesh
		if i > 0 {
			at := ownIP(t)
			own = &mesh{ip: at, caller: newCaller(t, at+":10000")}
		}
		r := c.record(t)
		own.runEnvoy(t, c.bootstrap(t, "--node-id", fmt.Sprintf("shop-%d", i+1), "--xds", r.address, "--listen", own.egress, "--admin", own.ip+":9901"))
		c.proxies, c.records = append(c.proxies, own), append(c.records, r)
	}
	return c
}

// writeStable writes the file of an upstream that is always there. The first five have fallbacks, to the others.
func (c *churn) writeStable(t *testing.T, i int) {
	t.Helper()
	u, name := c.upstream[i], fmt.Sprintf("s%d", i)
	endpoints := ""
	for at, s := range c.services {
		if u.endpoints == at || u.endpoints == len(c.services) {
			host, port, _ := strings.Cut(s.address, ":")
			endpoints += fmt.Sprintf("  - {address: %s, port: %s}\n", host, port)
		}
	}
	fields := []string{fmt.Sprintf("timeout: %dms", 20_000+u.timeout), fmt.Sprintf("connectionLimits: {maxRequests: %d}", 1000+u.limit)}
	if i < stable/2 && u.fallback > 0 {
		fields = append(fields, fmt.Sprintf("fallback: {upstream: s%d}", stable/2+u.fallback%(stable/2)))
	}
	c.write(t, name+".yaml", fmt.Sprintf("---\napiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: %s}\nspec:\n  endpoints:\n%s", name, endpoints)+
		adaptive(name, fields...))
}

// change changes the policy for a time, a few files at once, and returns what the processes used each second.
func (c *churn) change(t *testing.T, d time.Duration) (samples []usage) {
	t.Helper()
	begin := time.Now()
	for next := begin; time.Since(begin) < d; {
		burst := 1 + rand.IntN(10)
		for range burst {
			c.changeOne(t)
		}
		next = next.Add(time.Duration(burst) * churnEvery)
		pause(time.Until(next), t.Context().Done())
		if time.Since(begin) > time.Duration(len(samples))*time.Second {
			samples = append(samples, c.usage(t))
		}
	}
	return samples
}

func (c *churn) changeOne(t *testing.T) {
	t.Helper()
	c.changes++
	i := rand.IntN(stable)
	switch u := &c.upstream[i]; rand.IntN(5) {
	case 0:
		u.endpoints = (u.endpoints + 1) % (len(c.services) + 1)
	case 1:
		u.timeout++
	case 2:
		u.limit++
	case 3:
		u.fallback++
	case 4:
		i := rand.IntN(passing)
		name := fmt.Sprintf("x%d", i)
		if c.there[i] = !c.there[i]; c.there[i] {
			c.write(t, name+".yaml", service(name, c.services[0].address)+adaptive(name))
		} else if err := os.Remove(filepath.Join(c.policies, name+".yaml")); err != nil {
			t.Fatal(err)
		}
		return
	}
	c.writeStable(t, i)
}

// callAll calls the upstreams that are always there, one after the other.
func (c *churn) callAll(ctx context.Context, proxy *caller, first int) {
	for i := first; ctx.Err() == nil; i++ {
		r, err := proxy.get(ctx, fmt.Sprintf("s%d", i%stable), "/")
		if ctx.Err() != nil {
			return
		}
		if c.calls.Add(1); err != nil || r.status != http.StatusOK {
			c.failed.Add(1)
			c.failure.CompareAndSwap(nil, fmt.Sprintf("s%d: %d %q %v", i%stable, r.status, r.body, err))
		}
		pause(5*time.Millisecond, ctx.Done())
	}
}

// settles waits until both proxies have the last policy.
func (c *churn) settles(t *testing.T) {
	t.Helper()
	for _, p := range c.proxies {
		eventually(t, "the proxy has the last policy", func() error {
			for i, there := range c.there {
				want := map[bool]int{true: http.StatusOK, false: http.StatusNotFound}[there]
				if r, err := p.get(t.Context(), fmt.Sprintf("x%d", i), "/"); err != nil || r.status != want {
					return fmt.Errorf("a call to x%d gets %d, want %d (%v)", i, r.status, want, err)
				}
			}
			clusters, err := fetch("http://" + p.ip + ":9901/clusters")
			for i, u := range c.upstream {
				if limit := fmt.Sprintf("\ns%d::default_priority::max_requests::%d\n", i, 1000+u.limit); err == nil && !strings.Contains(clusters, limit) {
					err = errors.New("the proxy does not have" + limit)
				}
			}
			return err
		})
	}
}

// usage has the goroutines and the memory of the control plane, and the memory of the proxies, in bytes.
type usage struct{ goroutines, heap, control, envoys float64 }

func (c *churn) usage(t *testing.T) usage {
	t.Helper()
	u := usage{c.metric(t, "go_goroutines"), c.metric(t, "go_memstats_heap_inuse_bytes"), c.metric(t, "process_resident_memory_bytes"), 0}
	for _, p := range c.proxies {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.envoy.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(status), "VmRSS:")
		kib, _, _ := strings.Cut(rest, "kB")
		u.envoys += float64(number(strings.TrimSpace(kib))) * 1024
	}
	return u
}

// checkMemory compares the last minute of a long run with the one after the first 30 s.
func (c *churn) checkMemory(t *testing.T, samples []usage) {
	t.Helper()
	const settling, minute = 30, 60
	if len(samples) < settling+2*minute {
		t.Logf("used in the end: %+v", samples[len(samples)-1])
		return
	}
	for what, figure := range map[string]func(usage) float64{
		"goroutines": func(u usage) float64 { return u.goroutines }, "the heap": func(u usage) float64 { return u.heap },
		"the control plane's memory": func(u usage) float64 { return u.control }, "the proxies' memory": func(u usage) float64 { return u.envoys },
	} {
		median := func(all []usage) float64 {
			var figures []float64
			for _, u := range all {
				figures = append(figures, figure(u))
			}
			slices.Sort(figures)
			return figures[len(figures)/2]
		}
		early, late := median(samples[settling:settling+minute]), median(samples[len(samples)-minute:])
		t.Logf("%s: %.4g in the second minute, %.4g in the last one", what, early, late)
		if late > 1.1*early {
			t.Errorf("%s grew from %.4g to %.4g", what, early, late)
		}
	}
}
