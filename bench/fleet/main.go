// Command fleet measures what a control plane costs that serves many proxies: how long until all have a change, the CPU time,
// the memory, and the bytes that each proxy receives. The proxies are simulated; the control plane is the real binary.
//
// In: flags, which choose the sizes; bin/breakwater, which make builds, and perhaps an older one to compare with.
// Out: tables in Markdown on standard output, progress on standard error; the exit code is 0 even if a target is missed.
// Called by: make bench-fleet.
// Never: sends traffic beyond loopback, or leaves a process behind that it has started.
// Concurrency: one control plane and one fleet at a time.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"breakwater.dev/bench/fleet/internal/linear"
)

// options say what to measure, and with which programs.
type options struct {
	binary  string // the control plane
	before  string // an older control plane to compare with; empty: none
	only    *regexp.Regexp
	memory  string        // GOMEMLIMIT of the control planes; empty: not set
	self    string        // this program, which serves the linear caches
	idle    time.Duration // how long nothing happens
	beats   time.Duration // how long heartbeats are measured
	say     func(format string, args ...any)
	configs []config
}

func main() {
	o := options{idle: 3 * time.Second, beats: 10 * time.Second}
	flag.StringVar(&o.binary, "breakwater", filepath.Join("..", "..", "bin", "breakwater"), "the control plane's `binary`")
	flag.StringVar(&o.before, "before", "", "the `binary` of an older control plane, to be measured in the same run")
	flag.StringVar(&o.memory, "memory-limit", "", "the control plane's `GOMEMLIMIT`; by default it has none")
	only := flag.String("only", "", "`pattern` of the configurations to measure; all by default")
	quick := flag.Bool("quick", false, "measure small fleets only: the figures are rough")
	one := config{}
	flag.IntVar(&one.proxies, "proxies", 0, "measure one configuration only, with this `number` of proxies")
	flag.IntVar(&one.upstreams, "upstreams", 200, "the `number` of upstreams of that configuration")
	flag.IntVar(&one.list, "list", 0, "the `number` of upstreams that each of its proxies lists; 0: each gets all")
	flag.IntVar(&one.sotw, "sotw", 0, "the `number` of its proxies that use the state-of-the-world variant of the protocol")
	flag.IntVar(&one.slow, "slow", 0, "the `number` of its proxies that read slowly")
	flag.IntVar(&one.refusing, "refusing", 0, "the `number` of its proxies that refuse a cluster")
	resources := flag.String("serve-linear", "", "serve the resources in this `file` from the linear caches of go-control-plane; the bench starts it")
	address := flag.String("address", "", "where it serves proxies")
	admin := flag.String("admin", "", "where it takes changes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if *resources != "" {
		fmt.Fprintln(os.Stderr, "bench:", linear.Serve(ctx, *resources, *address, *admin))
		os.Exit(1)
	}
	var err error
	if o.self, err = os.Executable(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if o.only, err = regexp.Compile(*only); err != nil || flag.NArg() > 0 || one.sotw+one.slow+one.refusing > one.proxies {
		flag.Usage()
		os.Exit(2)
	}
	switch {
	case one.proxies > 0:
		o.configs = []config{one}
	case *quick:
		o.configs = quickConfigs
	default:
		o.configs = allConfigs
	}
	begin := time.Now()
	o.say = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%4.0fs  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
	}
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// config is a fleet and a mesh.
type config struct {
	proxies, upstreams   int
	list                 int // how many upstreams each proxy lists; 0: each gets all
	sotw, slow, refusing int // proxies of each variant
}

var (
	allConfigs = []config{
		{upstreams: 1_000}, {upstreams: 5_000}, {upstreams: 20_000},
		{proxies: 100, upstreams: 1_000}, {proxies: 1_000, upstreams: 1_000}, {proxies: 100, upstreams: 5_000},
		{proxies: 1_000, upstreams: 5_000}, {proxies: 1_000, upstreams: 5_000, list: 20},
		{proxies: 100, upstreams: 1_000, sotw: 10, slow: 10, refusing: 10},
	}
	quickConfigs = []config{
		{upstreams: 200}, {upstreams: 600}, {proxies: 10, upstreams: 200}, {proxies: 50, upstreams: 200}, {proxies: 10, upstreams: 600},
		{proxies: 50, upstreams: 600}, {proxies: 50, upstreams: 600, list: 20}, {proxies: 20, upstreams: 200, sotw: 4, slow: 4, refusing: 4},
	}
)

func (c config) String() string {
	switch {
	case c.proxies == 0:
		return fmt.Sprintf("no proxies, %d upstreams", c.upstreams)
	case c.list > 0:
		return fmt.Sprintf("%d proxies with lists of %d of %d upstreams", c.proxies, c.list, c.upstreams)
	case c.sotw+c.slow+c.refusing > 0:
		return fmt.Sprintf("%d proxies (%d SotW, %d slow, %d refusing), %d upstreams", c.proxies, c.sotw, c.slow, c.refusing, c.upstreams)
	}
	return fmt.Sprintf("%d proxies, %d upstreams", c.proxies, c.upstreams)
}
