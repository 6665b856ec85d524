package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"runtime"
	"runtime/debug"
)

var nan = math.NaN()

// fleetMemory is how many bytes the fleet may take before it collects its garbage more often.
const fleetMemory = 6 << 30

// run measures all configurations, and writes the tables to w.
func run(ctx context.Context, o options, w io.Writer) error {
	// The fleet should leave the processor to the control plane, but not take all of the memory for that.
	debug.SetGCPercent(200)
	debug.SetMemoryLimit(fleetMemory)
	var all []measured
	for _, c := range o.configs {
		if !o.only.MatchString(c.String()) {
			continue
		}
		m := measured{config: c}
		if o.before != "" {
			r, err := measureControl(ctx, o, "before", o.before, c)
			if err != nil {
				return err
			}
			m.before = r
		}
		r, err := measureControl(ctx, o, "ours", o.binary, c)
		if err != nil {
			return err
		}
		m.ours = r
		if c.isPlain() {
			if m.theirs, err = measurePeer(ctx, o, c, r.recording); err != nil {
				return err
			}
		}
		r.recording = nil
		all = append(all, m)
	}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "%s, %s/%s, %d cores\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	for _, m := range all {
		writeConfig(out, m)
	}
	writeGrowth(out, all)
	writePeer(out, all)
	writeTargets(out, all)
	return out.Flush()
}
