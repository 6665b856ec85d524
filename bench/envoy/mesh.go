package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"breakwater.dev/bench/internal/loopback"
	"breakwater.dev/bench/internal/process"
)

// machine runs the programs of the run, as its options say.
type machine struct {
	*loopback.Machine
	options options
}

// mesh is a control plane with its proxies.
type mesh struct {
	machine *machine
	ip      string
	policy  string // its file
	control *process.Process
	proxies []*loopback.Proxy
}

// mesh starts a control plane with a number of proxies.
func (m *machine) mesh(policy string, proxies int) (*mesh, error) {
	return m.meshOf(m.options.binary, policy, proxies)
}

// meshOf is mesh with another binary of the control plane.
func (m *machine) meshOf(binary, policy string, proxies int) (*mesh, error) {
	ip, err := m.IP()
	if err != nil {
		return nil, err
	}
	file, err := m.Write("policy.yaml", policy)
	if err != nil {
		return nil, err
	}
	s := &mesh{machine: m, ip: ip, policy: file}
	s.control, err = m.Start(binary, "serve", "--policy", file, "--state-dir", "",
		"--xds-listen", ip+":18000", "--http-listen", ip+":18080")
	if err != nil {
		return nil, err
	}
	if err := m.WaitUntil("the control plane is ready", func() error {
		_, err := loopback.Fetch("http://" + ip + ":18080/health/ready")
		return err
	}); err != nil {
		return nil, err
	}
	for i := range proxies {
		p, err := m.Proxy(binary, ip+":18000", fmt.Sprintf("proxy-%d", i+1))
		if err != nil {
			return nil, err
		}
		s.proxies = append(s.proxies, p)
	}
	return s, nil
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
	page, err := loopback.Fetch("http://" + s.ip + ":18080/breakers/payments")
	if err != nil {
		return b, err
	}
	return b, json.Unmarshal([]byte(page), &b)
}

// state waits until the breaker is in a state.
func (s *mesh) state(want string) error {
	return s.machine.WaitUntil("the breaker is "+want, func() error {
		b, err := s.breaker()
		if err == nil && b.State != want {
			err = fmt.Errorf("the breaker is %s", b.State)
		}
		return err
	})
}

// metric sums a metric over its series.
func (s *mesh) metric(name string) (float64, error) {
	page, err := loopback.Fetch("http://" + s.ip + ":18080/metrics")
	if err != nil {
		return 0, err
	}
	return loopback.SumOf(page, name, "")
}

// sent returns how many responses with resources were sent, and their bytes. It leaves out runtime layers, which are sent again and
// again.
func (s *mesh) sent() (n, bytes float64, err error) {
	page, err := loopback.Fetch("http://" + s.ip + ":18080/metrics")
	if err != nil {
		return 0, 0, err
	}
	n, err1 := loopback.SumOf(page, "breakwater_xds_pushes_total", "Runtime")
	bytes, err2 := loopback.SumOf(page, "breakwater_xds_push_bytes_total", "Runtime")
	return n, bytes, errors.Join(err1, err2)
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
