package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"breakwater.dev/api"
	"breakwater.dev/examples/internal/stage"
)

// agree waits until all control planes have each other as members, and reach each other.
func (m *mesh) agree(ctx context.Context) error {
	var names []string
	for _, r := range m.live() {
		names = append(names, r.name)
	}
	return m.Await(ctx, "the control planes share their breakers", func() error {
		epochs := map[uint64]bool{}
		for _, r := range m.live() {
			seen, _, err := r.client.Replicas(ctx)
			if err != nil {
				return err
			}
			var members []string
			for _, member := range seen.Members {
				members = append(members, member.Name)
			}
			slices.Sort(members)
			epochs[seen.Epoch] = true
			if !slices.Equal(members, names) || seen.Unreachable > 0 || len(epochs) > 1 {
				return fmt.Errorf("%s has the members %q at epoch %d, of which it does not reach %d; they should be %q", r.name, members, seen.Epoch, seen.Unreachable, names)
			}
		}
		return nil
	})
}

// owners waits until all control planes say the same about who owns which breaker, and returns the breakers by the name of their owner.
func (m *mesh) owners(ctx context.Context) (owners map[string][]string, err error) {
	err = m.Await(ctx, "the control planes agree on the owners", func() error {
		owners = nil
		for _, r := range m.live() {
			list, _, err := r.client.List(ctx, api.Query{})
			if err != nil {
				return err
			}
			seen := map[string][]string{}
			for _, b := range list {
				if b.LocalView || !slices.ContainsFunc(m.live(), func(r *replica) bool { return r.name == b.Owner }) {
					return fmt.Errorf("%s says that %q owns %s (a local view: %v)", r.name, b.Owner, b.Key, b.LocalView)
				}
				seen[b.Owner] = append(seen[b.Owner], b.Key)
			}
			if owners != nil && fmt.Sprint(owners) != fmt.Sprint(seen) {
				return fmt.Errorf("%s says that the owners are %v, and others say %v", r.name, seen, owners)
			}
			owners = seen
		}
		return nil
	})
	return owners, err
}

// sayOwners prints who owns which breaker, and returns the owner of the breaker of payments.
func (m *mesh) sayOwners(ctx context.Context) (owner *replica, err error) {
	owners, err := m.owners(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range m.live() {
		own := owners[r.name]
		if slices.Contains(own, "payments") {
			owner = r
		}
		m.Say("%-5s owns %2d breakers: %s", r.name, len(own), strings.Join(own, " "))
	}
	if owner == nil {
		return nil, errors.New("no control plane owns the breaker of payments")
	}
	return owner, nil
}

// sayProxies prints which proxy is connected to which control plane.
func (m *mesh) sayProxies(ctx context.Context) error {
	var lines []string
	err := m.Await(ctx, "each proxy is connected to a control plane", func() error {
		lines = nil
		connected := 0
		for _, r := range m.live() {
			config, err := r.client.Config(ctx)
			if err != nil {
				return err
			}
			var ids []string
			for _, n := range config.Nodes {
				ids = append(ids, n.ID)
			}
			connected += len(ids)
			lines = append(lines, fmt.Sprintf("%-5s configures %s", r.name, cmp.Or(strings.Join(ids, " "), "no proxy")))
		}
		if connected != len(m.proxies) {
			return fmt.Errorf("%d are connected", connected)
		}
		return nil
	})
	for _, line := range lines {
		m.Say("%s", line)
	}
	return err
}

// everywhere waits until all control planes say that the breaker of payments is in a state, and returns what the first of them says.
func (m *mesh) everywhere(ctx context.Context, want api.State) (first api.Breaker, err error) {
	err = m.Await(ctx, "the breaker of payments is "+string(want)+" at all control planes", func() error {
		for i, r := range m.live() {
			b, _, err := r.client.Get(ctx, "payments")
			if err != nil {
				return err
			}
			if b.State != want {
				return fmt.Errorf("%s says that it is %s", r.name, b.State)
			}
			if i == 0 {
				first = b.Breaker
			}
		}
		return nil
	})
	return first, err
}

// call makes a call of payments through a proxy.
func (m *mesh) call(ctx context.Context, p *stage.Proxy) stage.Reply {
	return stage.Get(ctx, "http://"+p.Listen+"/", "payments")
}

// all waits until a call of payments through each proxy has a status.
func (m *mesh) all(ctx context.Context, status int) error {
	return m.Await(ctx, fmt.Sprintf("all proxies answer %d", status), func() error {
		for _, p := range m.proxies {
			if r := m.call(ctx, p); r.Status != status {
				return fmt.Errorf("%s answers %d %s", p.ID, r.Status, r.Body)
			}
		}
		return nil
	})
}

const (
	passed   = http.StatusOK
	rejected = http.StatusServiceUnavailable // the fallback
)

// metrics returns the lines of a control plane's metrics that begin with one of the names.
func (r *replica) metrics(ctx context.Context, names ...string) (lines []string) {
	for line := range strings.Lines(stage.Get(ctx, "http://"+r.http+"/metrics", "").Body) {
		if name, _, _ := strings.Cut(line, " "); slices.Contains(names, name) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
