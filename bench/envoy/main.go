// Command envoy measures breakers with a real Envoy: the cost of a breaker in each state, the delay until all proxies
// reject, and the number of probes in half-open. All variants are measured side by side in one run.
//
// In: flags, which make the run longer or shorter; bin/breakwater and an Envoy, which make builds and finds.
// Out: tables in Markdown on standard output, progress on standard error; the exit code is 0 even if a target is missed.
// Called by: make bench-envoy.
// Never: sends traffic beyond loopback, or leaves a process behind that it has started.
// Concurrency: one measurement at a time.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"breakwater.dev/bench/envoy/internal/baseline"
	"breakwater.dev/bench/internal/loopback"
)

// options set how long to measure, and with which programs.
type options struct {
	rounds     int            // rounds in which throughput is measured
	cell       time.Duration  // how long each variant runs in each round
	paced      time.Duration  // how long each variant runs at a steady rate
	trips      int            // trips that are measured
	hangs      int            // hangs that are measured, of each version
	phases     int            // phases of half-open that are measured
	upstreams  int            // upstreams for the parts "sizes" and "upstreams"
	sizeRounds int            // rounds of the part "upstreams"
	only       string         // the only part to measure; empty: all
	variants   *regexp.Regexp // variants of the part "costs"; the bare Envoy is always measured
	binary     string         // the control plane
	before     string         // an older control plane to compare with; empty: none
	envoy      string
	say        func(format string, args ...any)
}

func main() {
	short := flag.Bool("short", false, "measure for a minute only: the figures are rough")
	o := options{rounds: 10, cell: 2 * time.Second, paced: 10 * time.Second, trips: 60, hangs: 10, phases: 60, upstreams: 1000, sizeRounds: 5}
	flag.StringVar(&o.binary, "breakwater", filepath.Join("..", "..", "bin", "breakwater"), "the control plane's `binary`")
	flag.StringVar(&o.before, "before", "", "the `binary` of an older control plane, to be measured in the same run")
	flag.StringVar(&o.envoy, "envoy", os.Getenv("ENVOY"), "the proxy's `binary` (default $ENVOY)")
	idlePolicy := flag.String("serve-idle", "", "be the ext_proc server that only answers, for the policy in this `file`; the bench starts it")
	address := flag.String("address", "", "where it listens")
	variants := flag.String("variants", "", "`pattern` of the variants whose costs are measured, beside the bare Envoy; all by default")
	rounds := flag.Int("rounds", o.rounds, "`rounds` in which costs are measured")
	cell := flag.Duration("cell", o.cell, "how long each variant runs in each round: where others use the machine, many short rounds tell more")
	tripped := flag.Int("trips", o.trips, "`trips` that are measured")
	only := flag.String("only", "", "`part` to measure: costs, trips, hangs, half-open, sizes or upstreams; all by default")
	flag.Parse()
	o.only, o.rounds, o.cell, o.trips = *only, *rounds, *cell, *tripped
	var err error
	if o.variants, err = regexp.Compile(*variants); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if *idlePolicy != "" {
		text, err := os.ReadFile(*idlePolicy)
		if err == nil {
			err = baseline.ServeIdle(context.Background(), string(text), *address)
		}
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if *short {
		o.rounds, o.cell, o.paced, o.trips, o.hangs, o.phases, o.sizeRounds = 3, time.Second, 3*time.Second, 10, 3, 10, 1
	}
	begin := time.Now()
	o.say = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%4.0fs  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// run measures all parts, and then prints the targets and the tables.
func run(ctx context.Context, o options) (err error) {
	if o.envoy == "" {
		return errors.New("no Envoy: give --envoy, or run it by 'make bench-envoy'")
	}
	programs, err := loopback.New(ctx, o.envoy)
	if err != nil {
		return err
	}
	m := &machine{programs, o}
	defer func() { err = errors.Join(err, m.Close()) }()
	var out bytes.Buffer
	var targets []target
	for _, part := range []struct {
		name    string
		measure func(*machine, *bytes.Buffer) ([]target, error)
	}{{"costs", costs}, {"trips", trips}, {"hangs", hangs}, {"half-open", halfOpen}, {"sizes", sizes}, {"upstreams", upstreams}} {
		if o.only != "" && o.only != part.name {
			continue
		}
		reached, err := part.measure(m, &out)
		if err != nil {
			return err
		}
		targets = append(targets, reached...)
	}
	writeTargets(os.Stdout, targets)
	_, err = out.WriteTo(os.Stdout)
	return err
}
