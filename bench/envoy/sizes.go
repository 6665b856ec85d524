package main

import (
	"bytes"
	"fmt"
	"strings"
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
	var text strings.Builder
	for i := range upstreams {
		fmt.Fprintf(&text, "apiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: service-%d}\nspec: {endpoints: [{address: 10.0.%d.%d, port: 80}]}\n---\n", i, i/250, 1+i%250)
	}
	if spec != "" && upstreams > 0 {
		text.WriteString("apiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: mesh}\nspec:\n  targetRefs: [{kind: Mesh}]\n" + spec)
	}
	if upstreams == 0 {
		text.WriteString(payments("127.0.0.1:1"))
	}
	err = m.scope(func() error {
		mesh, err := m.mesh(text.String(), 1)
		if err != nil {
			return err
		}
		if s.pushed, err = mesh.metric("breakwater_xds_push_bytes_total"); err != nil {
			return err
		}
		envoy, err := mesh.proxies[0].Memory()
		if err != nil {
			return err
		}
		ours, err := mesh.control.Memory()
		s.envoy, s.ours = float64(envoy.Resident), float64(ours.Resident)
		return err
	})
	return s, err
}
