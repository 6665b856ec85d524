package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"breakwater.dev/xds"
)

// responses are the xDS responses that a control plane has sent, by the last word of their type.
type responses map[string]pushed

// pushed has the number of responses, and the bytes of their resources.
type pushed struct{ n, bytes float64 }

// sent reads which responses the control plane has sent, without runtime layers, which are sent again and again.
func (m *mesh) sent(t *testing.T) responses {
	t.Helper()
	all := responses{}
	for _, found := range regexp.MustCompile(`(?m)^breakwater_xds_push(es|_bytes)_total\{type="(\w+)"\} (\S+)$`).FindAllStringSubmatch(m.page(t, "/metrics"), -1) {
		v, err := strconv.ParseFloat(found[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		one := all[found[2]]
		if found[1] == "es" {
			one.n = v
		} else {
			one.bytes = v
		}
		if all[found[2]] = one; found[2] == "Runtime" || v == 0 && one.n == 0 {
			delete(all, found[2])
		}
	}
	return all
}

// knows waits until every proxy has introduced itself with all types of resources, and has answered what it was sent.
func (m *mesh) knows(t *testing.T, proxies int) {
	t.Helper()
	eventually(t, "the control plane knows what the proxies have", func() error {
		var config struct {
			Nodes []struct {
				ID    string
				Types []struct{ Type string }
			}
		}
		if err := json.Unmarshal([]byte(m.page(t, "/config")), &config); err != nil {
			return err
		}
		if len(config.Nodes) != proxies {
			return fmt.Errorf("%d proxies are connected", len(config.Nodes))
		}
		for _, n := range config.Nodes {
			if len(n.Types) < len(xds.Types) {
				return fmt.Errorf("%s has asked for %d types of %d", n.ID, len(n.Types), len(xds.Types))
			}
		}
		return nil
	})
}

// TestComebackGetsOnlyWhatChanged kills the control plane under load, and starts it again with the same policy, or with one that
// changes the timeout of one upstream. No call fails. The proxy says which resources of each type it has, and gets the virtual
// host of that upstream only.
func TestComebackGetsOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string][]string{"all upstreams": nil, "some upstreams": {"--upstreams", "payments,secure,db,s03,s07"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ip := ownIP(t)
			u, ca := newUpstream(t, ip), newAuthority(t)
			policy := func(timeout string) string {
				text := service("payments", u.address) + guard("payments") + service("secure", u.address, tlsField(ip, ca.Path("ca.pem"))) + database(u.address)
				for i := range 20 {
					name := fmt.Sprintf("s%02d", i)
					text += service(name, u.address) + adaptive(name, "timeout: "+map[bool]string{true: timeout, false: "10s"}[i == 3])
				}
				return text
			}
			m := prepareMesh(t, ip, policy("10s"))
			m.startControl(t)
			m.runEnvoy(t, m.bootstrap(t, flags...))
			m.knows(t, 1)
			first := m.sent(t)
			if len(first) != len(xds.Types)-1 {
				t.Fatalf("the proxy got %v, want every type", first)
			}
			l := m.load(t, 4)
			for _, changed := range []bool{false, true} {
				l.more(t, 200)
				m.control.kill()
				l.more(t, 200)
				if changed {
					m.write(t, "policy.yaml", policy("7s"))
				}
				m.startControl(t)
				m.knows(t, 1)
				eventually(t, "the proxy has the change", func() error {
					if now := m.sent(t); changed && len(now) == 0 {
						return fmt.Errorf("it was sent %v", now)
					}
					return nil
				})
				holds(t, "the proxy gets what changed and nothing else", 2*time.Second, func() error {
					if now := m.sent(t); !changed && len(now) > 0 || changed && (len(now) != 1 || now["VirtualHost"].n != 1) {
						return fmt.Errorf("the control plane sent %v, and at the start %v", now, first)
					}
					return nil
				})
				l.more(t, 200)
			}
			l.clean(t)
			// The next change of that upstream has as many bytes, so the one before was alone.
			one := m.sent(t)["VirtualHost"].bytes
			m.write(t, "policy.yaml", policy("8s"))
			eventually(t, "the proxy has the next change", func() error {
				if now := m.sent(t)["VirtualHost"]; now != (pushed{2, 2 * one}) {
					return fmt.Errorf("it was sent %v, and the change before had %v bytes", now, one)
				}
				return nil
			})
		})
	}
}
