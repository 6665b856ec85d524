package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// TestBadPolicyChangesNothing breaks the policy file of a running control plane in every likely way.
func TestBadPolicyChangesNothing(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	good := service("payments", u.address) + guard("payments", quick)
	m := newMesh(t, ip, good)
	trip(t, m, u)
	revision := m.revision(t, "")
	pushes := m.pushes(t)

	for i, bad := range []string{
		strings.Replace(good, "consecutiveFailures", "consecutiveFailurs", 1),
		good + "---\n\tnot yaml\n",
		strings.Replace(good, "name: payments}\nspec:\n  targetRefs", "name: payments}\nspec:\n  mode: Sometimes\n  targetRefs", 1),
		"",
	} {
		m.write(t, "policy.yaml", bad)
		eventually(t, fmt.Sprintf("bad policy %d refused", i), func() error {
			if got := m.metric(t, `breakwater_reload_total{result="refused"}`); got != float64(i+1) {
				return fmt.Errorf("%v refusals", got)
			}
			return nil
		})
		config := m.page(t, "/config")
		if !strings.Contains(config, "policy.yaml") && !strings.Contains(config, "no-policies") {
			t.Errorf("bad policy %d: /config does not show what is wrong:\n%s", i, config)
		}
		if i == 0 {
			m.says(t, "[unknown-field]")
		}
		if got := m.revision(t, ""); got != revision {
			t.Errorf("revision %s in force, want the old %s", got, revision)
		}
		if got := m.breaker(t, "payments").Counts.Failures; got != 1 {
			t.Errorf("failures = %d, want the 1 of before: the breaker was made anew", got)
		}
	}
	if got := m.pushes(t); got != pushes {
		t.Errorf("proxies were sent %v responses for policies that were refused", got-pushes)
	}
	u.behave(answer(http.StatusOK))
	m.state(t, "payments", "half_open")
	m.must(t, "payments", http.StatusOK)

	m.write(t, "policy.yaml", strings.Replace(good, "successThreshold: 5", "successThreshold: 1", 1))
	m.revision(t, revision)
	m.state(t, "payments", "closed")
	m.must(t, "payments", http.StatusOK)
}

// says waits until both /config and the log have all of these.
func (m *mesh) says(t *testing.T, all ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("/config and the log say %q", all), func() error {
		for where, text := range map[string]string{"/config": m.page(t, "/config"), "the log": m.control.output()} {
			for _, part := range all {
				if !strings.Contains(text, part) {
					return fmt.Errorf("%s does not say %s:\n%s", where, part, text)
				}
			}
		}
		return nil
	})
}

// TestReloadUnderLoad changes everything that can be changed, without one failed request.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u, v := newUpstream(t, ip), newUpstream(t, ip)
	policies := []string{
		service("payments", u.address) + guard("payments"),
		service("payments", u.address) + guard("payments", "connectionLimits: {maxRequests: 77}"),
		service("payments", u.address) + guard("payments", "timeout: 3s"),
		service("payments", u.address),
		service("payments", v.address) + guard("payments", "outlierDetection: {alwaysEjectOneEndpoint: true}"),
		service("alpha", v.address) + service("payments", u.address) + guard("payments", "failOpen: false"),
		service("payments", u.address, "loadBalancing: {policy: RoundRobin}",
			"routes:", "- {name: other, match: {pathPrefix: /other}}") + guard("payments"),
	}
	m := newMesh(t, ip, policies[0])
	l := m.load(t, 8)
	revision := m.revision(t, "")
	for range 2 {
		for _, p := range append(policies[1:], policies[0]) {
			m.write(t, "policy.yaml", p)
			revision = m.revision(t, revision)
			l.more(t, 100)
		}
	}
	l.clean(t)
	if got := m.metric(t, `breakwater_xds_nacks_total{type="Cluster"}`); got != 0 {
		t.Errorf("%v NACKs", got)
	}
}

// TestClusterChangeIsInForceAtOnce: Envoy keeps a changed cluster waiting for endpoints
// that it does not ask for again, until its initial_fetch_timeout of 15 s.
func TestClusterChangeIsInForceAtOnce(t *testing.T) {
	t.Parallel()
	for name, variant := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ip := ownIP(t)
			u := newUpstream(t, ip)
			m := prepareMesh(t, ip, service("payments", u.address)+guard("payments"))
			m.startControl(t)
			m.startEnvoy(t, variant)
			m.write(t, "policy.yaml", service("payments", u.address)+guard("payments", "connectionLimits: {maxRequests: 77}"))
			eventually(t, "the new limit in the proxy", func() error {
				clusters, err := fetch("http://" + m.ip + ":9901/clusters")
				if err == nil && !strings.Contains(clusters, "payments::default_priority::max_requests::77") {
					err = errors.New("not there")
				}
				return err
			})
			stats, err := fetch("http://" + m.ip + ":9901/stats?filter=init_fetch_timeout")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(stats, "cluster.payments.init_fetch_timeout: 0\n") {
				t.Errorf("the cluster waited in vain for endpoints:\n%s", stats)
			}
		})
	}
}

// variants of xDS, as edits of a bootstrap.
var variants = map[string]*strings.Replacer{
	"delta":              strings.NewReplacer(),
	"state of the world": strings.NewReplacer("DELTA_GRPC", "GRPC"),
}

// TestMountedConfigMap changes a policy as the kubelet does: by swapping one symbolic link.
func TestMountedConfigMap(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	mounted := newMount(t, map[string]string{"policy.yaml": service("payments", u.address) + guard("payments")})
	m := &mesh{ip: ip, policies: mounted.dir, caller: newCaller(t, ip+":10000")}
	m.startControl(t)
	revision := m.revision(t, "")
	mounted.swap(t, map[string]string{"policy.yaml": service("payments", u.address) + guard("payments", "timeout: 3s")})
	m.revision(t, revision)
	if config := m.page(t, "/config"); !strings.Contains(config, `"3s"`) {
		t.Errorf("the new timeout is not on /config:\n%s", config)
	}
}

// TestPolicyDirectoryVanishes takes the directory away and puts it back with another policy.
func TestPolicyDirectoryVanishes(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	u := newUpstream(t, ip)
	m := newMesh(t, ip, service("payments", u.address)+guard("payments"))
	revision := m.revision(t, "")
	if err := os.Rename(m.policies, m.policies+"-gone"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the loss is reported", func() error {
		if m.metric(t, `breakwater_reload_total{result="refused"}`) == 0 {
			return errors.New("no refusal")
		}
		return nil
	})
	m.must(t, "payments", http.StatusOK)
	if err := os.Mkdir(m.policies, 0o755); err != nil {
		t.Fatal(err)
	}
	m.write(t, "policy.yaml", service("payments", u.address)+guard("payments", "timeout: 3s"))
	m.revision(t, revision)
	m.must(t, "payments", http.StatusOK)
}

// TestNACK provokes a refusal by Envoy, with a file that is not on the proxy's disk,
// and wants to see it, and to see it not too often.
func TestNACK(t *testing.T) {
	t.Parallel()
	for name, variant := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ip := ownIP(t)
			u := newUpstream(t, ip)
			good := service("payments", u.address) + guard("payments")
			m := prepareMesh(t, ip, good)
			m.startControl(t)
			m.startEnvoy(t, variant)
			m.must(t, "payments", http.StatusOK)
			m.write(t, "policy.yaml", service("payments", u.address, "tls: {sni: payments, caFile: /nonexistent/ca.pem}")+guard("payments"))

			nacks := `breakwater_xds_nacks_total{type="Secret"}`
			eventually(t, "a NACK is counted", func() error {
				if got := m.metric(t, nacks); got == 0 {
					return fmt.Errorf("%s = %v", nacks, got)
				}
				return nil
			})
			m.says(t, "/nonexistent/ca.pem", "shop-1")
			pushes := m.pushes(t)
			holds(t, "what was refused is sent again, and seldom", 2*time.Second, func() error {
				if got := m.pushes(t); got > pushes+3 {
					return fmt.Errorf("responses went from %v to %v", pushes, got)
				}
				return nil
			})
			if got := strings.Count(m.control.output(), "proxy refused configuration"); got != 1 {
				t.Errorf("the same refusal is in the log %d times", got)
			}

			m.write(t, "policy.yaml", good+service("stock", u.address))
			eventually(t, "the mended policy is in the proxy", func() error {
				r, err := m.get(t.Context(), "stock", "/")
				if err == nil && r.status != http.StatusOK {
					err = fmt.Errorf("status %d", r.status)
				}
				return err
			})
			if config := m.page(t, "/config"); strings.Contains(config, "/nonexistent/ca.pem") {
				t.Errorf("the NACK is over, and still on /config:\n%s", config)
			}
		})
	}
}

// TestRefusedListenerIsTriedAgain: another process has the port of an upstream that speaks
// TCP. When it is gone the proxy gets its listener, without any change of the policy.
func TestRefusedListenerIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, variant := range variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ip := ownIP(t)
			s := newEchoServer(t, ip, echoes)
			taken, err := net.Listen("tcp", ip+":15432")
			if err != nil {
				t.Fatal(err)
			}
			defer taken.Close()
			m := prepareMesh(t, ip, database(s.address)+service("payments", newUpstream(t, ip).address))
			m.startControl(t)
			m.startEnvoy(t, variant)
			nacks := `breakwater_xds_nacks_total{type="Listener"}`
			eventually(t, "the listener is refused", func() error {
				if m.metric(t, nacks) == 0 {
					return errors.New("not yet")
				}
				return nil
			})
			m.answers(t, "payments", http.StatusOK) // the others came with it
			if err := taken.Close(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the proxy listens", func() error {
				c, err := say(ip + ":15432")
				if err == nil {
					c.Close()
				}
				return err
			})
			eventually(t, "the log says so", func() error {
				if !strings.Contains(m.control.output(), "proxy has taken what it had refused") {
					return errors.New("not yet")
				}
				return nil
			})
		})
	}
}
