package main

import (
	"bytes"
	"fmt"
)

// sizes measures the memory and the resources of many upstreams.
func sizes(m *machine, out *bytes.Buffer) (reached []target, err error) {
	n := m.options.upstreams
	fmt.Fprintf(out, "## %d upstreams\n\n| | resources an upstream | Envoy's memory an upstream | control plane's |\n|---|---|---|---|\n", n)
	base, err := sizeOf(m, m.options.binary, payments("127.0.0.1:1"))
	if err != nil {
		return nil, err
	}
	for _, v := range []struct{ name, spec string }{
		{"without breakers", ""}, {"Inline", "  dataPath: Inline\n" + fallback}, {"Adaptive", fallback},
	} {
		m.options.say("%d upstreams, %s", n, v.name)
		s, err := sizeOf(m, m.options.binary, manyUpstreams(n, v.spec))
		if err != nil {
			return nil, err
		}
		each := s.each(base, n)
		row := target{what: fmt.Sprintf("each of %d upstreams, %s", n, v.name),
			got: fmt.Sprintf("%.1f KiB of resources, %.1f KiB of Envoy", each.pushed, each.envoy)}
		reached = append(reached, row)
		fmt.Fprintf(out, "| %s | %.1f KiB | %.1f KiB | %.1f KiB |\n", v.name, each.pushed, each.envoy, each.ours)
	}
	fmt.Fprintln(out)
	return reached, nil
}

// size has the bytes of resources that were sent, and the memory of Envoy and of the control plane, in bytes.
type size struct{ pushed, envoy, ours float64 }

// each returns the part of one of n upstreams in KiB. base is the size without them.
func (s size) each(base size, n int) size {
	per := func(with, without float64) float64 { return (with - without) / float64(n) / 1024 }
	return size{per(s.pushed, base.pushed), per(s.envoy, base.envoy), per(s.ours, base.ours)}
}

// sizeOf measures a mesh with a policy and one proxy.
func sizeOf(m *machine, binary, policy string) (s size, err error) {
	err = m.Scope(func() error {
		mesh, err := m.meshOf(binary, policy, 1)
		if err != nil {
			return err
		}
		s, err = mesh.size()
		return err
	})
	return s, err
}

// size measures a mesh with one proxy.
func (s *mesh) size() (found size, err error) {
	if _, found.pushed, err = s.sent(); err != nil {
		return found, err
	}
	envoy, err := s.proxies[0].Memory()
	if err != nil {
		return found, err
	}
	ours, err := s.control.Memory()
	found.envoy, found.ours = float64(envoy.Resident), float64(ours.Resident)
	return found, err
}
