package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"breakwater.dev/api"
	"breakwater.dev/examples/internal/stage"
	"breakwater.dev/internal/processes"
)

// token is the admin token of all control planes.
const token = "token-of-the-demonstration"

// mesh has all parts of the demonstration.
type mesh struct {
	*stage.Stage
	replicas            []*replica
	proxies             []*stage.Proxy
	payments            *stage.Service
	store               *processes.Process
	storeAt, paymentsAt string
	policies, tokenFile string
}

// replica is one of the control planes.
type replica struct {
	name, xds, http string
	client          *api.Client
	process         *processes.Process
	away            bool // it is killed
}

// newMesh checks that all addresses are free. Nothing runs yet.
func newMesh(on *stage.Stage) (*mesh, error) {
	m := &mesh{Stage: on, storeAt: on.IP + ":16379", paymentsAt: on.IP + ":18101", tokenFile: filepath.Join(on.Dir, "token")}
	ports := []stage.Port{{Address: m.storeAt, What: "Valkey"}, {Address: m.paymentsAt, What: "the payments service"},
		{Address: m.othersAt(), What: "the other services"}}
	var all []string
	for i, name := range []string{"alpha", "beta", "gamma"} {
		r := &replica{name: name, xds: fmt.Sprintf("%s:%d", on.IP, 18000+i), http: fmt.Sprintf("%s:%d", on.IP, 18080+i)}
		var err error
		if r.client, err = api.New(api.Options{Server: r.http, Token: token}); err != nil {
			return nil, err
		}
		m.replicas, all = append(m.replicas, r), append(all, r.xds)
		ports = append(ports, stage.Port{Address: r.xds, What: name + ", for proxies"}, stage.Port{Address: r.http, What: name + ", for operators"})
	}
	for i := range 4 {
		p := &stage.Proxy{ID: fmt.Sprint("shop-", i+1), Workload: "shop", ControlPlane: strings.Join(all, ","),
			Listen: fmt.Sprintf("%s:%d", on.IP, 10000+i), Admin: fmt.Sprintf("%s:%d", on.IP, 9901+i)}
		m.proxies = append(m.proxies, p)
		ports = append(ports, stage.Port{Address: p.Listen, What: p.ID + ", for applications"}, stage.Port{Address: p.Admin, What: p.ID + "'s admin page"})
	}
	return m, stage.Free(ports...)
}

func (m *mesh) othersAt() string { return m.IP + ":18102" }

// start starts all parts, and returns when they are ready.
func (m *mesh) start(ctx context.Context) (err error) {
	if m.payments, err = m.Service("payments", m.paymentsAt); err != nil {
		return err
	}
	if _, err = m.Service("the shop", m.othersAt()); err != nil {
		return err
	}
	if m.policies, err = m.Policies("examples/replicas/policies"); err != nil {
		return err
	}
	if err := os.WriteFile(m.tokenFile, []byte(token), 0o600); err != nil {
		return err
	}
	fmt.Println("Starting Valkey:         valkey-server --port 16379")
	if err := m.startStore(ctx); err != nil {
		return err
	}
	fmt.Println("Starting control planes: breakwater serve --policy examples/replicas/policies --store redis://" + m.storeAt + " --instance NAME")
	for _, r := range m.replicas {
		if err := m.startReplica(r); err != nil {
			return err
		}
	}
	for _, r := range m.replicas {
		if err := r.process.Answers(ctx, "http://"+r.http+"/health/ready"); err != nil {
			return err
		}
	}
	fmt.Println("Starting Envoys:         breakwater bootstrap --xds " + m.proxies[0].ControlPlane)
	for _, p := range m.proxies {
		if err := m.LaunchProxy(ctx, p); err != nil {
			return err
		}
	}
	for _, p := range m.proxies {
		if err := p.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// startStore starts a store that keeps nothing on disk.
func (m *mesh) startStore(ctx context.Context) error {
	path, err := processes.FindValkey(stage.Tools)
	if err != nil {
		return err
	}
	host, port, err := net.SplitHostPort(m.storeAt)
	if err != nil {
		return err
	}
	m.store, err = m.Launch(processes.Command{Name: "valkey", Path: path, Args: []string{"--bind", host, "--port", port,
		"--protected-mode", "no", "--save", "", "--appendonly", "no", "--dir", m.Dir}})
	if err != nil {
		return err
	}
	return m.store.Ready(ctx, func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", m.storeAt)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("PING\r\n")); err != nil {
			return err
		}
		line, err := bufio.NewReader(c).ReadString('\n')
		if err == nil && line != "+PONG\r\n" {
			err = fmt.Errorf("it answers %q", line)
		}
		return err
	})
}

// startReplica starts a control plane, and does not wait until it is ready.
func (m *mesh) startReplica(r *replica) (err error) {
	r.away = false
	r.process, err = m.Launch(processes.Command{Name: "control plane " + r.name, Path: stage.Breakwater, Args: []string{"serve", "--policy", m.policies,
		"--xds-listen", r.xds, "--http-listen", r.http, "--instance", r.name, "--store", "redis://" + m.storeAt, "--admin-token-file", m.tokenFile}})
	return err
}

// live returns the control planes that are not killed.
func (m *mesh) live() (live []*replica) {
	for _, r := range m.replicas {
		if !r.away {
			live = append(live, r)
		}
	}
	return live
}
