package main

import (
	"bytes"
	"fmt"
)

// sizes measures the memory and the resources of many upstreams.
func sizes(m *machine, out *bytes.Buffer) (reached []target, err error) {
	n := m.options.upstreams
	fmt.Fprintf(out, "## %d upstreams\n\n| | resources an upstream | Envoy's memory an upstream | control plane's |\n|---|---|---|---|\n", n)
	base, err := sizeOf(m, "", 0)
	if err != nil {
		return nil, err
	}
	for _, v := range []struct{ name, spec string }{
		{"without breakers", ""}, {"Inline", "  dataPath: Inline\n" + fallback}, {"Adaptive", fallback},
	} {
		m.options.say("%d upstreams, %s", n, v.name)
		s, err := sizeOf(m, v.spec, n)
		if err != nil {
			return nil, err
		}
		each := func(figure func(size) float64) float64 { return (figure(s) - figure(base)) / float64(n) / 1024 }
		row := target{what: fmt.Sprintf("each of %d upstreams, %s", n, v.name),
			got: fmt.Sprintf("%.1f KiB of resources, %.1f KiB of Envoy", each(size.resources), each(size.envoyBytes))}
		reached = append(reached, row)
		fmt.Fprintf(out, "| %s | %.1f KiB | %.1f KiB | %.1f KiB |\n", v.name, each(size.resources), each(size.envoyBytes), each(size.oursBytes))
	}
	fmt.Fprintln(out)
	return reached, nil
}

// size has the bytes of resources that were sent, and the memory of Envoy and of the control plane, in bytes.
type size struct{ pushed, envoy, ours float64 }

func (s size) resources() float64  { return s.pushed }
func (s size) envoyBytes() float64 { return s.envoy }
func (s size) oursBytes() float64  { return s.ours }

// sizeOf measures a mesh with a number of upstreams and one proxy.
func sizeOf(m *machine, spec string, upstreams int) (s size, err error) {
	policy := payments("127.0.0.1:1")
	if upstreams > 0 {
		policy = manyUpstreams(upstreams, spec)
	}
	err = m.scope(func() error {
		mesh, err := m.mesh(policy, 1)
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
