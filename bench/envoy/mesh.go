package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"breakwater.dev/bench/envoy/internal/traffic"
	"breakwater.dev/bench/internal/process"
)

// mesh is a control plane with its proxies.
type mesh struct {
	machine *machine
	ip      string
	policy  string // its file
	control *process.Process
	proxies []*proxy
}

// proxy is an Envoy.
type proxy struct {
	*process.Process
	egress string // the address to which callers send
	admin  string
}

// anyStatus returns the upstream payments behind a proxy as a destination, whatever the status of its responses.
func anyStatus(p *proxy) traffic.Destination {
	return traffic.Destination{Egress: p.egress, Host: "payments"}
}

// upstream starts a service. It ends with the machine or its scope.
func (m *machine) upstream() (*traffic.Upstream, error) {
	u, err := traffic.StartUpstream()
	if err != nil {
		return nil, err
	}
	m.closers = append(m.closers, u.Close)
	return u, nil
}

// mesh starts a control plane with a number of proxies.
func (m *machine) mesh(policy string, proxies int) (*mesh, error) {
	return m.meshOf(m.options.binary, policy, proxies)
}

// meshOf is mesh with another binary of the control plane.
func (m *machine) meshOf(binary, policy string, proxies int) (*mesh, error) {
	ip, err := m.ip()
	if err != nil {
		return nil, err
	}
	file, err := m.write("policy.yaml", policy)
	if err != nil {
		return nil, err
	}
	s := &mesh{machine: m, ip: ip, policy: file}
	s.control, err = m.start(binary, "serve", "--policy", file, "--state-dir", "",
		"--xds-listen", ip+":18000", "--http-listen", ip+":18080")
	if err != nil {
		return nil, err
	}
	if err := m.waitUntil("the control plane is ready", func() error {
		_, err := fetch("http://" + ip + ":18080/health/ready")
		return err
	}); err != nil {
		return nil, err
	}
	for i := range proxies {
		p, err := m.proxyOf(binary, ip+":18000", fmt.Sprintf("proxy-%d", i+1))
		if err != nil {
			return nil, err
		}
		s.proxies = append(s.proxies, p)
	}
	return s, nil
}

// proxyOf starts an Envoy that gets its configuration from the control plane at the address xds.
func (m *machine) proxyOf(binary, xds, id string) (*proxy, error) {
	ip, err := m.ip()
	if err != nil {
		return nil, err
	}
	bootstrap, err := exec.Command(binary, "bootstrap", "--node-id", id, "--node-cluster", "bench",
		"--xds", xds, "--listen", ip+":10000", "--admin", ip+":9901").Output()
	if err != nil {
		return nil, fmt.Errorf("breakwater bootstrap: %w", err)
	}
	return m.envoy(ip, string(bootstrap))
}

// envoy starts an Envoy with the machine's number of workers, and returns when it is ready.
func (m *machine) envoy(ip, bootstrap string) (*proxy, error) {
	config, err := m.write("envoy.yaml", bootstrap)
	if err != nil {
		return nil, err
	}
	p := &proxy{egress: ip + ":10000", admin: ip + ":9901"}
	p.Process, err = m.start(m.options.envoy, "-c", config, "--use-dynamic-base-id", "--concurrency", strconv.Itoa(max(1, m.workers)), "-l", "error")
	if err != nil {
		return nil, err
	}
	return p, m.waitUntil("Envoy is ready", func() error {
		_, err := fetch("http://" + p.admin + "/ready")
		return err
	})
}

// breaker is the part of a breaker's page that the bench reads.
type breaker struct {
	State string `json:"state"`
	Trip  *struct {
		Window struct {
			Run int `json:"consecutive_failures"`
		} `json:"window"`
		Reason string `json:"reason"`
	} `json:"trip"`
}

func (s *mesh) breaker() (b breaker, err error) {
	page, err := fetch("http://" + s.ip + ":18080/breakers/payments")
	if err != nil {
		return b, err
	}
	return b, json.Unmarshal([]byte(page), &b)
}

// state waits until the breaker is in a state.
func (s *mesh) state(want string) error {
	return s.machine.waitUntil("the breaker is "+want, func() error {
		b, err := s.breaker()
		if err == nil && b.State != want {
			err = fmt.Errorf("the breaker is %s", b.State)
		}
		return err
	})
}

// metric sums a metric over its series.
func (s *mesh) metric(name string) (float64, error) {
	page, err := fetch("http://" + s.ip + ":18080/metrics")
	if err != nil {
		return 0, err
	}
	return sumOf(page, name, "")
}

// sent returns how many responses with resources were sent, and their bytes. It leaves out runtime layers, which are sent again and
// again.
func (s *mesh) sent() (n, bytes float64, err error) {
	page, err := fetch("http://" + s.ip + ":18080/metrics")
	if err != nil {
		return 0, 0, err
	}
	n, err1 := sumOf(page, "breakwater_xds_pushes_total", "Runtime")
	bytes, err2 := sumOf(page, "breakwater_xds_push_bytes_total", "Runtime")
	return n, bytes, errors.Join(err1, err2)
}

// sumOf sums the series of a metric on a page, apart from those that have a type; empty: all.
func sumOf(page, name, without string) (sum float64, err error) {
	for _, found := range regexp.MustCompile(`(?m)^`+name+`(\{[^}]*\})? (\S+)$`).FindAllStringSubmatch(page, -1) {
		if without != "" && strings.Contains(found[1], `type="`+without+`"`) {
			continue
		}
		v, err := strconv.ParseFloat(found[2], 64)
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}

// payments returns the document of an Upstream with one endpoint.
func payments(address string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf("apiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: payments}\n"+
		"spec: {endpoints: [{address: %s, port: %s}], protocol: HTTP1}\n---\n", host, port)
}

// guard returns the document of a policy for payments. spec is the rest of the policy's spec, after the target.
func guard(spec string) string {
	return "apiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: payments}\n" +
		"spec:\n  targetRefs: [{kind: Upstream, name: payments}]\n" + spec
}
