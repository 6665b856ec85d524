package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"breakwater.dev/bench/envoy/internal/baseline"
	"breakwater.dev/bench/internal/loopback"
	"breakwater.dev/bench/internal/process"
	"breakwater.dev/bench/internal/traffic"
)

// variant is a configuration that is measured side by side with others.
type variant struct {
	name    string
	proxy   *loopback.Proxy
	control *process.Process // the control plane; nil: there is none
	logging *mesh            // the mesh whose proxy logs every call; nil: it does not
	host    string
	status  int
	rounds  []round
	paced   pace
}

// round has the figures for one variant in one round.
type round struct {
	perSecond   float64
	envoy, ours float64 // CPU time per request, in microseconds; ours is the control plane
}

// pace has the figures for one variant at a steady rate.
type pace struct {
	p50, p99    time.Duration
	envoy, ours float64 // CPU time in percent of a core; ours is the control plane
	// Bytes, and microseconds of the control plane's CPU time, per entry of the access log; 0: not measured.
	entryBytes, entryCPU float64
}

const (
	bareEnvoy   = "bare Envoy"
	connections = 32
	steadyRate  = 1_000 // requests per second
	body        = `{"error":"payments is unavailable"}`
	fallback    = "  fallback: {response: {status: 503, contentType: application/json, body: '" + body + "'}}\n"
)

// costs measures the cost of a breaker in each state, side by side with Envoys without one.
func costs(m *machine, out *bytes.Buffer) (reached []target, err error) {
	return reached, m.Scope(func() error {
		variants, err := variants(m)
		if err != nil {
			return err
		}
		variants = slices.DeleteFunc(variants, func(v variant) bool { return v.name != bareEnvoy && !m.options.variants.MatchString(v.name) })
		for n := range m.options.rounds {
			m.options.say("throughput, round %d of %d", n+1, m.options.rounds)
			for i := range variants {
				v := &variants[(i+n)%len(variants)]
				if err := v.flood(m); err != nil {
					return fmt.Errorf("%s: %w", v.name, err)
				}
			}
		}
		for i := range variants {
			m.options.say("%s at %d/s", variants[i].name, steadyRate)
			if err := variants[i].pace(m); err != nil {
				return fmt.Errorf("%s: %w", variants[i].name, err)
			}
		}
		writeCosts(out, m, variants)
		reached = costTargets(variants)
		return nil
	})
}

// variants starts all variants.
func variants(m *machine) ([]variant, error) {
	u, err := m.Upstream()
	if err != nil {
		return nil, err
	}
	upstream := payments(u.Address())
	plain, err := m.plain(upstream)
	if err != nil {
		return nil, err
	}
	all := []variant{
		{name: bareEnvoy, proxy: plain, host: "payments", status: 200},
		{name: "plain direct response", proxy: plain, host: "direct", status: 503},
	}
	const lasting = "  breaker: {maxWaitDurationInHalfOpenState: 24h, waitDurationInOpenState: 1ms, successThreshold: 1000000, " +
		"permittedNumberOfCallsInHalfOpenState: 1000000, consecutiveFailures: 1}\n  timeout: 10ms\n"
	for _, p := range []struct{ name, spec string }{
		{"closed, Adaptive", fallback},
		{"closed, Inline", "  dataPath: Inline\n" + fallback},
		{"open, Adaptive", "  mode: ForcedOpen\n" + fallback},
		{"open, Inline", "  mode: ForcedOpen\n  dataPath: Inline\n" + fallback},
		{"half-open, Adaptive", lasting + fallback},
	} {
		s, err := m.mesh(upstream+guard(p.spec), 1)
		if err != nil {
			return nil, err
		}
		v := variant{name: p.name, proxy: s.proxies[0], control: s.control, host: "payments", status: 200}
		switch p.name {
		case "open, Adaptive", "open, Inline":
			v.status = 503
		case "half-open, Adaptive":
			v.status = 0
			if err := trip(m, s, u); err != nil {
				return nil, err
			}
		}
		all = append(all, v)
	}
	idle, err := idleVariant(m, upstream+guard("  dataPath: Inline\n"+fallback))
	if err != nil {
		return nil, err
	}
	more, err := comparisons(m, upstream)
	return append(append(all, idle), more...), err
}

// comparisons starts the variants that show the cost of a log entry, and the cost with an older control plane.
func comparisons(m *machine, upstream string) (all []variant, err error) {
	broken, err := m.Upstream()
	if err != nil {
		return nil, err
	}
	broken.Behave(func() bool { return false })
	logged := payments(broken.Address()) + guard("  mode: MetricsOnly\n"+fallback)
	type comparison struct {
		name, binary, policy string
		status               int
	}
	copies := upstream + guard("  fallback: {cached: {}}\n")
	list := []comparison{{"every call logged", m.options.binary, logged, 500}, {"copies kept, Adaptive", m.options.binary, copies, 200}}
	if older := m.options.before; older != "" {
		list = append(list, comparison{"every call logged, before", older, logged, 500},
			comparison{"closed, Adaptive, before", older, upstream + guard(fallback), 200},
			comparison{"closed, Inline, before", older, upstream + guard("  dataPath: Inline\n"+fallback), 200},
			comparison{"copies kept, Adaptive, before", older, copies, 200})
	}
	for _, l := range list {
		s, err := m.meshOf(l.binary, l.policy, 1)
		if err != nil {
			return nil, err
		}
		v := variant{name: l.name, proxy: s.proxies[0], control: s.control, host: "payments", status: l.status}
		if l.status == 500 {
			v.logging = s
		}
		all = append(all, v)
	}
	return all, nil
}

// trip opens the breaker with one failure, and waits until it is half-open.
func trip(m *machine, s *mesh, u *traffic.Upstream) error {
	u.Behave(func() bool { return false })
	defer u.Behave(func() bool { return true })
	if _, err := traffic.Flood(m.Context, s.proxies[0].To("payments"), 1, 50*time.Millisecond); err != nil {
		return err
	}
	return s.state("half_open")
}

// idleVariant starts the variant with the ext_proc server that only answers.
func idleVariant(m *machine, text string) (v variant, err error) {
	ip, err := m.IP()
	if err != nil {
		return v, err
	}
	file, err := m.Write("policy.yaml", text)
	if err != nil {
		return v, err
	}
	self, err := os.Executable()
	if err != nil {
		return v, err
	}
	server, err := m.Start(self, "-serve-idle", file, "-address", ip+":18000")
	if err != nil {
		return v, err
	}
	p, err := m.Proxy(m.options.binary, ip+":18000", "idle")
	return variant{name: "ext_proc that only answers", proxy: p, control: server, host: "payments", status: 200}, err
}

// plain starts an Envoy without breakers.
func (m *machine) plain(policy string) (*loopback.Proxy, error) {
	ip, err := m.IP()
	if err != nil {
		return nil, err
	}
	bootstrap, err := baseline.Bootstrap(policy, ip, body)
	if err != nil {
		return nil, err
	}
	return m.ProxyOf(ip, bootstrap)
}

// usage returns the CPU time that a variant's processes have used.
func (v *variant) usage() (envoy, ours time.Duration, err error) {
	if envoy, err = v.proxy.CPU(); err != nil || v.control == nil {
		return envoy, 0, err
	}
	ours, err = v.control.CPU()
	return envoy, ours, err
}

// destination returns the destination of the variant's callers.
func (v *variant) destination() traffic.Destination {
	return traffic.Destination{Egress: v.proxy.Egress, Host: v.host, Status: v.status}
}

// flood measures one round of requests, sent as fast as possible.
func (v *variant) flood(m *machine) error {
	envoy, ours, err := v.usage()
	if err != nil {
		return err
	}
	begin := time.Now()
	calls, err := traffic.Flood(m.Context, v.destination(), connections, m.options.cell)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	envoyAfter, oursAfter, err := v.usage()
	if err != nil {
		return err
	}
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(calls) }
	v.rounds = append(v.rounds, round{float64(calls) / took.Seconds(), each(envoyAfter - envoy), each(oursAfter - ours)})
	return nil
}

// pace measures the variant at a steady rate.
func (v *variant) pace(m *machine) error {
	ctx, stop := context.WithTimeout(m.Context, m.options.paced)
	defer stop()
	bytes, entries, err := v.logged()
	if err != nil {
		return err
	}
	envoy, ours, err := v.usage()
	if err != nil {
		return err
	}
	calls, err := traffic.Steady(ctx, v.destination(), steadyRate, 8)
	if err != nil {
		return err
	}
	envoyAfter, oursAfter, err := v.usage()
	if err != nil {
		return err
	}
	all := traffic.Latencies(calls)
	share := func(d time.Duration) float64 { return 100 * d.Seconds() / m.options.paced.Seconds() }
	v.paced = pace{p50: quantile(all, 0.5), p99: quantile(all, 0.99), envoy: share(envoyAfter - envoy), ours: share(oursAfter - ours)}
	bytesAfter, entriesAfter, err := v.logged()
	if n := entriesAfter - entries; n > 0 {
		v.paced.entryBytes, v.paced.entryCPU = (bytesAfter-bytes)/n, float64((oursAfter-ours).Microseconds())/n
	}
	return err
}

// logged returns how much the proxy of a variant has logged, and 0 if it does not log every call.
func (v *variant) logged() (bytes, entries float64, err error) {
	if v.logging == nil {
		return 0, 0, nil
	}
	if bytes, err = v.logging.metric("breakwater_feed_bytes_total"); err != nil {
		return 0, 0, err
	}
	entries, err = v.logging.metric("breakwater_feed_entries_total")
	return bytes, entries, err
}

// ratiosTo returns the ratios of a figure of two variants, round by round.
func ratiosTo(v, base *variant, figure func(round) float64) []float64 {
	ratios := make([]float64, len(v.rounds))
	for i := range v.rounds {
		ratios[i] = figure(v.rounds[i]) / figure(base.rounds[i])
	}
	return ratios
}

func rates(r round) float64    { return r.perSecond }
func envoyCPU(r round) float64 { return r.envoy }

func writeCosts(out *bytes.Buffer, m *machine, all []variant) {
	fmt.Fprintf(out, "## What a breaker costs\n\n%d connections as fast as they can, %d rounds of %s; latency and control plane's CPU at %d requests/s over %s.\n"+
		"Ratios to a bare Envoy of the same round: the median, and the quartiles in brackets.\n\n", connections, m.options.rounds, m.options.cell, steadyRate, m.options.paced)
	fmt.Fprintf(out, "| | requests/s | against bare | Envoy CPU a request | control plane CPU a request | p50 | p99 | control plane at %d/s |\n|---|---|---|---|---|---|---|---|\n", steadyRate)
	for i := range all {
		v := &all[i]
		column := func(figure func(round) float64) float64 {
			values := make([]float64, len(v.rounds))
			for i, r := range v.rounds {
				values[i] = figure(r)
			}
			median, _, _ := spread(values)
			return median
		}
		ratio, low, high := spread(ratiosTo(v, &all[0], rates))
		fmt.Fprintf(out, "| %s | %.0f | %.2f (%.2f–%.2f) | %.1f µs | %.1f µs | %s | %s | %.1f %% of a core |\n", v.name, column(rates), ratio, low, high,
			column(envoyCPU), column(func(r round) float64 { return r.ours }),
			v.paced.p50.Round(10*time.Microsecond), v.paced.p99.Round(10*time.Microsecond), v.paced.ours)
	}
	writeComparison(out, all)
	fmt.Fprintf(out, "\n| an entry of the access log, at %d failures/s | bytes | control plane CPU |\n|---|---|---|\n", steadyRate)
	for i := range all {
		if p := &all[i].paced; p.entryBytes > 0 {
			fmt.Fprintf(out, "| %s | %.0f | %.1f µs |\n", all[i].name, p.entryBytes, p.entryCPU)
		}
	}
	fmt.Fprintln(out)
}

// find returns a variant by its name, or nil if it was not measured.
func find(all []variant, name string) *variant {
	for i := range all {
		if all[i].name == name {
			return &all[i]
		}
	}
	return nil
}

// writeComparison writes the ratios to an older control plane, if there is one.
func writeComparison(out *bytes.Buffer, all []variant) {
	headed := false
	for i := range all {
		before := find(all, all[i].name+", before")
		if before == nil {
			continue
		}
		if !headed {
			headed = true
			fmt.Fprintf(out, "\n| against the older control plane, round by round | requests/s | Envoy CPU a request |\n|---|---|---|\n")
		}
		rate, rateLow, rateHigh := spread(ratiosTo(&all[i], before, rates))
		cpu, cpuLow, cpuHigh := spread(ratiosTo(&all[i], before, envoyCPU))
		fmt.Fprintf(out, "| %s | %s | %s |\n", all[i].name, ratio(rate, rateLow, rateHigh), ratio(cpu, cpuLow, cpuHigh))
	}
}

func costTargets(all []variant) []target {
	for _, name := range []string{"closed, Adaptive", "closed, Inline", "open, Adaptive", "plain direct response", "ext_proc that only answers"} {
		if find(all, name) == nil {
			return nil // the run measured only some variants
		}
	}
	find := func(name string) *variant { return find(all, name) }
	atLeast := func(what, name, base string, bound float64) target {
		median, low, high := spread(ratiosTo(find(name), find(base), rates))
		return target{what, fmt.Sprintf("at least %.2fx", bound), ratio(median, low, high), median >= bound}
	}
	closed, bare := find("closed, Adaptive"), find(bareEnvoy)
	median, low, high := spread(ratiosTo(closed, bare, envoyCPU))
	return []target{
		atLeast("throughput, closed, against a bare Envoy", "closed, Adaptive", "bare Envoy", 0.95),
		{"Envoy CPU a request, closed, against a bare Envoy", "at most 1.05x", ratio(median, low, high), median <= 1.05},
		atLeast("throughput, Inline, against an ext_proc server that only answers", "closed, Inline", "ext_proc that only answers", 0.9),
		atLeast("throughput of rejects, open, against a plain direct response", "open, Adaptive", "plain direct response", 0.95),
		{fmt.Sprintf("control plane CPU at %d healthy requests/s", steadyRate), "at most 1 % of a core",
			fmt.Sprintf("%.2f %%", closed.paced.ours), closed.paced.ours <= 1},
	}
}

func ratio(median, low, high float64) string {
	return fmt.Sprintf("%.3fx (%.3f–%.3f)", median, low, high)
}
