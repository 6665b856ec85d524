package loopback

import (
	"fmt"
	"os/exec"
	"strconv"

	"breakwater.dev/bench/internal/process"
	"breakwater.dev/bench/internal/traffic"
)

// Proxy is an Envoy.
type Proxy struct {
	*process.Process
	Egress string // the address to which callers send
	Admin  string
}

// To returns an upstream behind the proxy as a destination, whatever the status of its responses.
func (p *Proxy) To(upstream string) traffic.Destination {
	return traffic.Destination{Egress: p.Egress, Host: upstream}
}

// Proxy starts an Envoy that gets its configuration from control planes: xds has their addresses, with commas between. A
// binary of the control plane writes the bootstrap.
func (m *Machine) Proxy(binary, xds, id string) (*Proxy, error) {
	ip, err := m.IP()
	if err != nil {
		return nil, err
	}
	bootstrap, err := exec.Command(binary, "bootstrap", "--node-id", id, "--node-cluster", "bench",
		"--xds", xds, "--listen", ip+":10000", "--admin", ip+":9901").Output()
	if err != nil {
		return nil, fmt.Errorf("breakwater bootstrap: %w", err)
	}
	return m.ProxyOf(ip, string(bootstrap))
}

// ProxyOf starts an Envoy with a bootstrap that has its ports at an address, and returns when it is ready.
func (m *Machine) ProxyOf(ip, bootstrap string) (*Proxy, error) {
	config, err := m.Write("envoy.yaml", bootstrap)
	if err != nil {
		return nil, err
	}
	p := &Proxy{Egress: ip + ":10000", Admin: ip + ":9901"}
	p.Process, err = m.Start(m.Envoy, "-c", config, "--use-dynamic-base-id", "--concurrency", strconv.Itoa(max(1, m.Workers)), "-l", "error")
	if err != nil {
		return nil, err
	}
	return p, m.WaitUntil("Envoy is ready", func() error {
		_, err := Fetch("http://" + p.Admin + "/ready")
		return err
	})
}
