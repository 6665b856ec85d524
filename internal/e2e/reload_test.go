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

	"breakwater.dev/wire"
)

// TestBadPolicyChangesNothing shows that a running control plane refuses a policy with a mistake, and changes nothing.
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
				return fmt.Errorf("%v refusals are counted", got)
			}
			return nil
		})
		config := m.page(t, "/config")
		if !strings.Contains(config, "policy.yaml") && !strings.Contains(config, "no-policies") {
			t.Errorf("bad policy %d: /config does not show the mistake:\n%s", i, config)
		}
		if i == 0 {
			m.says(t, "[unknown-field]")
		}
		if got := m.revision(t, ""); got != revision {
			t.Errorf("revision %s is in force, want the old one, %s", got, revision)
		}
		if got := m.breaker(t, "payments").Counts.Failures; got != 1 {
			t.Errorf("%d failures, want 1: the breaker was restarted", got)
		}
	}
	if got := m.pushes(t); got != pushes {
		t.Errorf("the proxy got %v responses for refused policies", got-pushes)
	}
	u.behave(answer(http.StatusOK))
	m.state(t, "payments", "half_open")
	m.must(t, "payments", http.StatusOK)

	m.write(t, "policy.yaml", strings.Replace(good, "successThreshold: 5", "successThreshold: 1", 1))
	m.revision(t, revision)
	m.state(t, "payments", "closed")
	m.must(t, "payments", http.StatusOK)
}

// says waits until both /config and the log have all of the texts.
func (m *mesh) says(t *testing.T, all ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("/config and the log have %q", all), func() error {
		for where, text := range map[string]string{"/config": m.page(t, "/config"), "the log": m.control.output()} {
			for _, part := range all {
				if !strings.Contains(text, part) {
					return fmt.Errorf("%s does not have %s:\n%s", where, part, text)
				}
			}
		}
		return nil
	})
}

// TestReloadUnderLoad changes each part of a policy under load. No request fails.
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

// TestClusterChangeIsInForceAtOnce shows that a changed cluster is in force at once. Envoy lets such a cluster wait for
// endpoints, and does not subscribe to them again. So without them the cluster would wait for its initial_fetch_timeout of 15 s.
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
			eventually(t, "the proxy has the new limit", func() error {
				clusters, err := fetch("http://" + m.ip + ":9901/clusters")
				if err == nil && !strings.Contains(clusters, "payments::default_priority::max_requests::77") {
					err = errors.New("it has another limit")
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

// variants are the two variants of xDS, as edits of a bootstrap.
var variants = map[string]*strings.Replacer{
	"delta":              strings.NewReplacer(),
	"state of the world": stateOfTheWorld(),
}

// stateOfTheWorld has a bootstrap use the state-of-the-world variant, in which a proxy may have one runtime layer.
func stateOfTheWorld() *strings.Replacer {
	layer := func(name string) string {
		return "    - name: " + name + "\n      rtds_layer:\n        name: " + name +
			"\n        rtds_config:\n          ads: {}\n          initial_fetch_timeout: 1s\n          resource_api_version: V3\n"
	}
	edits := []string{"DELTA_GRPC", "GRPC", layer(wire.RuntimePart(0)), layer(wire.RuntimeLayer)}
	for part := 1; part < wire.RuntimeParts; part++ {
		edits = append(edits, layer(wire.RuntimePart(part)), "")
	}
	return strings.NewReplacer(edits...)
}

// TestMountedConfigMap changes a policy by swapping one symbolic link, as the kubelet does.
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

// TestPolicyDirectoryVanishes shows that the policy stays in force when its directory is removed, and that a new directory with
// another policy is read.
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
			return errors.New("no refusal is counted")
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

// TestNACK shows that a refusal by Envoy is counted, on /config and once in the log, and that the control plane tries again
// seldom. The refused resource names a file that the proxy does not have.
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
			holds(t, "a refused resource is sent again, but seldom", 2*time.Second, func() error {
				if got := m.pushes(t); got > pushes+3 {
					return fmt.Errorf("the number of responses went from %v to %v", pushes, got)
				}
				return nil
			})
			if got := strings.Count(m.control.output(), "proxy refused configuration"); got != 1 {
				t.Errorf("the log has the same refusal %d times, want once", got)
			}

			m.write(t, "policy.yaml", good+service("stock", u.address))
			eventually(t, "the proxy has the corrected policy", func() error {
				r, err := m.get(t.Context(), "stock", "/")
				if err == nil && r.status != http.StatusOK {
					err = fmt.Errorf("status %d", r.status)
				}
				return err
			})
			if config := m.page(t, "/config"); strings.Contains(config, "/nonexistent/ca.pem") {
				t.Errorf("/config still has the refusal:\n%s", config)
			}
		})
	}
}

// TestRefusedListenerIsTriedAgain shows that a proxy gets a listener that it has refused, without a change of the policy, when
// another process no longer uses the listener's port.
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
					return errors.New("no refusal is counted")
				}
				return nil
			})
			m.answers(t, "payments", http.StatusOK) // the other resources are in force
			if err := taken.Close(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the proxy listens", func() error {
				c, err := dialEcho(ip + ":15432")
				if err == nil {
					c.Close()
				}
				return err
			})
			eventually(t, "the log has the end of the refusal", func() error {
				if !strings.Contains(m.control.output(), "proxy has taken what it had refused") {
					return errors.New("the log does not have it")
				}
				return nil
			})
		})
	}
}
