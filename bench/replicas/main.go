// Command replicas measures what it costs that three replicas of the control plane share their breakers, side by side with one control
// plane alone: how much later breakers trip, the CPU time of outcomes, the bytes between replicas; and how long a breaker is without
// its owner when that one is killed.
//
// In: flags, which make the run longer or shorter; bin/breakwater, an Envoy and a Valkey, which make builds and finds.
// Out: tables in Markdown on standard output, progress on standard error; the exit code is 0 even if a target is missed.
// Called by: make bench-replicas.
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
	"syscall"
	"time"

	"breakwater.dev/bench/internal/loopback"
	"breakwater.dev/bench/internal/report"
)

// options set how long to measure, and with which programs.
type options struct {
	trips     int           // trips of each kind
	busy      int           // trips of breakers under load
	rounds    int           // rounds in which CPU time is measured
	cell      time.Duration // how long each variant runs in each round
	takeovers int
	only      string // the only part to measure; empty: all
	binary    string // the control plane
	valkey    string
}

// bench has the programs of a run.
type bench struct {
	*loopback.Machine
	options options
	say     func(format string, args ...any)
}

func main() {
	o := options{trips: 100, busy: 15, rounds: 4, cell: 4 * time.Second, takeovers: 6}
	var envoy string
	flag.StringVar(&o.binary, "breakwater", filepath.Join("..", "..", "bin", "breakwater"), "the control plane's `binary`")
	flag.StringVar(&envoy, "envoy", os.Getenv("ENVOY"), "the proxy's `binary` (default $ENVOY)")
	flag.StringVar(&o.valkey, "valkey", os.Getenv("VALKEY_SERVER"), "the store's `binary` (default $VALKEY_SERVER)")
	flag.IntVar(&o.trips, "trips", o.trips, "`trips` of each kind")
	flag.IntVar(&o.busy, "busy-trips", o.busy, "`trips` of breakers that have many calls")
	flag.IntVar(&o.rounds, "rounds", o.rounds, "`rounds` in which CPU time is measured")
	flag.DurationVar(&o.cell, "cell", o.cell, "how long each variant runs in each round")
	flag.IntVar(&o.takeovers, "takeovers", o.takeovers, "`owners` that are killed")
	flag.StringVar(&o.only, "only", "", "`part` to measure: trips, cpu, bytes or takeovers; all by default")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, envoy); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// run measures all parts, and then prints the targets and the tables.
func run(ctx context.Context, o options, envoy string) (err error) {
	if envoy == "" || o.valkey == "" {
		return errors.New("no Envoy or no Valkey: give --envoy and --valkey, or run it by 'make bench-replicas'")
	}
	machine, err := loopback.New(ctx, envoy)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, machine.Close()) }()
	begin := time.Now()
	b := &bench{machine, o, func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%4.0fs  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
	}}
	var out bytes.Buffer
	var targets []report.Target
	for _, part := range []struct {
		name    string
		measure func(*bench, *bytes.Buffer) ([]report.Target, error)
	}{{"trips", trips}, {"cpu", costs}, {"bytes", traffics}, {"takeovers", takeovers}} {
		if o.only != "" && o.only != part.name {
			continue
		}
		err := b.Scope(func() error {
			reached, err := part.measure(b, &out)
			targets = append(targets, reached...)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	report.Targets(os.Stdout, targets)
	_, err = out.WriteTo(os.Stdout)
	return err
}
