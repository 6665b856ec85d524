package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// changes is how many timeouts are changed, one after the other, for the cost of one change.
const changes = 20

// upstreams compares this version with an older one, if there is one, by the memory and the bytes for each of many upstreams, and by
// Envoy's CPU time for a changed timeout.
func upstreams(m *machine, out *bytes.Buffer) (reached []target, err error) {
	m.Workers = 2
	defer func() { m.Workers = 0 }()
	n := m.options.upstreams
	fmt.Fprintf(out, "## A change among %d upstreams\n\nEnvoy with two workers; %d timeouts changed one by one in each of %d rounds. The median, and the quartiles in brackets.\n\n"+
		"| | Envoy's memory an upstream | control plane's | sent at start, an upstream | Envoy's CPU for a change | sent for a change |\n|---|---|---|---|---|---|\n",
		n, changes, m.options.sizeRounds)
	versions := []struct{ name, binary string }{{"this version", m.options.binary}, {"before", m.options.before}}
	figures := make([][][]float64, len(versions)) // by version, column and round
	for round := range m.options.sizeRounds {
		for i := range versions {
			v := (i + round) % len(versions)
			if versions[v].binary == "" {
				continue
			}
			m.options.say("%d upstreams, round %d of %d, %s", n, round+1, m.options.sizeRounds, versions[v].name)
			row, err := upstreamCosts(m, versions[v].binary)
			if err != nil {
				return nil, err
			}
			if figures[v] == nil {
				figures[v] = make([][]float64, len(row))
			}
			for column, figure := range row {
				figures[v][column] = append(figures[v][column], figure)
			}
		}
	}
	for v, columns := range figures {
		if len(columns) == 0 {
			continue
		}
		fmt.Fprintf(out, "| %s |", versions[v].name)
		for column, unit := range []string{"KiB", "KiB", "KiB", "ms", "KiB"} {
			median, low, high := spread(columns[column])
			fmt.Fprintf(out, " %.2f (%.2f–%.2f) %s |", median, low, high, unit)
		}
		fmt.Fprintln(out)
	}
	fmt.Fprintln(out)
	memory, _, _ := spread(figures[0][0])
	cpu, _, _ := spread(figures[0][3])
	return []target{{what: fmt.Sprintf("each of %d upstreams, Envoy with two workers; a changed timeout", n),
		got: fmt.Sprintf("%.1f KiB of Envoy; %.1f ms of its CPU", memory, cpu)}}, nil
}

// upstreamCosts returns the figures of one round: an upstream's memory in Envoy and in the control plane and the bytes that are sent
// for it at the start, in KiB; Envoy's CPU time for a change in ms, and the bytes that are sent for it, in KiB.
func upstreamCosts(m *machine, binary string) (row []float64, err error) {
	none, err := sizeOf(m, binary, payments("127.0.0.1:1"))
	if err != nil {
		return nil, err
	}
	err = m.Scope(func() error {
		policy := manyUpstreams(m.options.upstreams, fallback)
		timeout := func(ms int) string {
			return policy + "---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: service-7}\n" +
				fmt.Sprintf("spec: {targetRefs: [{kind: Upstream, name: service-7}], timeout: %dms}\n", ms)
		}
		s, err := m.meshOf(binary, timeout(7000), 1)
		if err != nil {
			return err
		}
		all, err := s.size()
		if err != nil {
			return err
		}
		cpu, pushed, err := s.change(timeout)
		each := all.each(none, m.options.upstreams)
		row = []float64{each.envoy, each.ours, each.pushed, cpu.Seconds() * 1000 / changes, pushed / changes / 1024}
		return err
	})
	return row, err
}

// change changes a policy by its timeout many times. It returns Envoy's CPU time for that, without the time that it takes in any
// case, and the bytes of the resources that were sent.
func (s *mesh) change(timeout func(ms int) string) (cpu time.Duration, pushed float64, err error) {
	envoy := s.proxies[0]
	begin := time.Now()
	_, before, err1 := s.sent()
	start, err2 := envoy.CPU()
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, err
	}
	for i := range changes {
		n, _, err := s.sent()
		if err = errors.Join(err, s.replace(timeout(7001+i))); err != nil {
			return 0, 0, err
		}
		if err := s.machine.WaitUntil("the change is sent", func() error {
			now, _, err := s.sent()
			if err == nil && now == n {
				err = errors.New("nothing was sent")
			}
			return err
		}); err != nil {
			return 0, 0, err
		}
		s.machine.Sleep(100 * time.Millisecond) // Envoy takes it
	}
	_, after, err1 := s.sent()
	end, err2 := envoy.CPU()
	s.machine.Sleep(time.Since(begin))
	idle, err3 := envoy.CPU()
	return end - start - (idle - end), after - before, errors.Join(err1, err2, err3)
}

// replace puts another policy in place of the mesh's.
func (s *mesh) replace(policy string) error {
	hidden := filepath.Join(filepath.Dir(s.policy), ".next-"+filepath.Base(s.policy))
	if err := os.WriteFile(hidden, []byte(policy), 0o600); err != nil {
		return err
	}
	return os.Rename(hidden, s.policy)
}

// manyUpstreams returns a policy with a number of upstreams, and for all of them the rest of a BreakerPolicy's spec; empty: no
// breakers.
func manyUpstreams(n int, spec string) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "---\napiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: service-%d}\nspec: {endpoints: [{address: 10.0.%d.%d, port: 80}]}\n", i, i/250, 1+i%250)
	}
	if spec != "" {
		text.WriteString("---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: mesh}\nspec:\n  targetRefs: [{kind: Mesh}]\n" + spec)
	}
	return text.String()
}
