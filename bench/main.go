// Command bench measures our breakers: side by side with the breakers of other Go modules, and with different numbers of
// breakers. It prints tables in Markdown, and compares the figures with our targets.
//
// In: flags, which make the run longer or shorter.
// Out: the tables on standard output, progress on standard error; the exit code is 0 even if a target is missed.
// Called by: make bench.
// Never: fails because the machine is slow. It is a separate module, so the other modules are no dependencies of Breakwater.
// Concurrency: one measurement at a time, on at most two cores.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"breakwater.dev/bench/internal/peers"
	"breakwater.dev/bench/internal/report"
)

// options set how long to measure, and how many breakers.
type options struct {
	rounds  int           // for each cell; their median counts
	cell    time.Duration // how long one cell runs in one round
	many    int           // the number of breakers in the columns with many breakers
	most    int           // the number of breakers for memory and scrapes
	scrapes int
	quiet   time.Duration // how long latency is measured without scrapes
	seed    uint64        // for the random order of cells and names
	say     func(format string, args ...any)
}

func main() {
	o := options{many: 10_000, most: 100_000}
	flag.IntVar(&o.rounds, "rounds", 30, "rounds that every cell is measured in")
	flag.DurationVar(&o.cell, "cell", 20*time.Millisecond, "how long each cell runs in each round")
	flag.IntVar(&o.scrapes, "scrapes", 9, "scrapes of 100,000 breakers")
	flag.DurationVar(&o.quiet, "quiet", 2*time.Second, "how long latency is measured without scrapes")
	flag.Parse()
	if flag.NArg() > 0 || o.rounds < 1 || o.cell <= 0 || o.scrapes < 1 || o.quiet <= 0 {
		flag.Usage()
		os.Exit(2)
	}
	begin := time.Now()
	o.seed = uint64(begin.UnixNano())
	o.say = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%3.0fs  %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
	}
	if err := run(o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures, and writes the report to w. It measures our engine alone first, because some peers leave goroutines and
// hundreds of megabytes in the process.
func run(o options, w io.Writer) error {
	flat := flatCost(o)
	load, err := underLoad(o)
	if err != nil {
		return fmt.Errorf("measure scrapes: %w", err)
	}
	rows := compare(o, peers.All())
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s, %s/%s, %d cores, %s; %d rounds of %s for each cell\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), processor(), o.rounds, o.cell)
	writeComparison(out, o, rows)
	writeFlat(out, flat)
	writeLoad(out, o, load)
	report.Targets(out, targets(rows, flat, load))
	return out.Flush()
}

// processor returns the name of the processor, if the system knows it.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "a processor of unknown name"
}
