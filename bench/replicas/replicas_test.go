package main

import (
	"bytes"
	"context"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"breakwater.dev/bench/internal/loopback"
	"breakwater.dev/bench/internal/traffic"
)

func TestFigure(t *testing.T) {
	all := []trip{{delay: 4 * time.Millisecond}, {delay: 1500 * time.Microsecond}, {delay: 2 * time.Millisecond}}
	for q, want := range map[float64]float64{0: 1.5, 0.5: 2, 1: 4} {
		if got := delay(all, q); got != want {
			t.Errorf("quantile %v of the delays is %v ms, want %v", q, got, want)
		}
	}
	if got := delay(nil, 0.5); !math.IsNaN(got) {
		t.Errorf("the median of no trips is %v, want no number", got)
	}
}

// TestCostsAreComparedInTheirRound: a ratio has two figures of one round, and the target is about outcomes without the idle time.
func TestCostsAreComparedInTheirRound(t *testing.T) {
	cells := make([][2][]cell, len(modes))
	for m := range cells {
		cells[m][0] = []cell{{busy: 12, extra: 10}, {busy: 22, extra: 20}, {busy: 12, extra: 10}}
		cells[m][1] = []cell{{busy: 30, extra: 15}, {busy: 60, extra: 40}, {busy: 30, extra: 15}}
	}
	if got := ratios(cells[0], func(c cell) float64 { return c.extra }); got[0] != 1.5 || got[1] != 2 {
		t.Errorf("the ratios are %v, want 1.5 and 2 first", got)
	}
	var out bytes.Buffer
	targets := writeCosts(&out, time.Second, cells, [2][]float64{{1, 1, 1}, {3, 3, 3}})
	if len(targets) != len(modes) || targets[0].Measured != 1.5 || targets[0].Verdict() != "met" {
		t.Errorf("the targets are %+v", targets)
	}
	for _, want := range []string{"10.0 | 15.0", "1.50x (1.50-1.75)", "2.50x", "one takes 1.00 % of a core, three 3.00 %"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, out.String())
		}
	}
}

// TestTripTable: one and three have a row each, and the failures that a trip took.
func TestTripTable(t *testing.T) {
	k := kind{name: "Inline"}
	lines := k.lines([][]trip{{{delay: 5 * time.Millisecond, run: 5, after: 2}}, {{delay: 15 * time.Millisecond, run: 6, after: 8}}})
	want := [][]string{
		{"Inline", "one", "1", "5.00", "5.00", "5.00", "5.00", "5.00", "2.00", "2.00"},
		{"Inline", "three", "1", "15.0", "15.0", "15.0", "15.0", "6.00", "8.00", "8.00"},
	}
	for i := range want {
		if strings.Join(lines[i], " ") != strings.Join(want[i], " ") {
			t.Errorf("got  %v\nwant %v", lines[i], want[i])
		}
	}
}

// TestTakeoverTarget: the targets are about the last breaker of the slowest takeover, and about calls that pass an open breaker.
func TestTakeoverTarget(t *testing.T) {
	all := []lost{{owned: [3]float64{1000, 1100, 4500}, passed: 3}, {owned: [3]float64{2000, 2000, 2000}}}
	targets := writeTakeovers(&bytes.Buffer{}, all)
	if len(targets) != 2 || targets[0].Measured != 4.5 || targets[1].Measured != 3 || targets[0].Verdict() == "met" || targets[1].Verdict() == "met" {
		t.Errorf("the targets are %+v", targets)
	}
}

// TestRoleCountsFromATime: only calls from a time on count, and a new behaviour forgets those before it.
func TestRoleCountsFromATime(t *testing.T) {
	service, err := traffic.StartUpstream()
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	r := &role{service: service}
	r.behave(true)
	call := func() {
		t.Helper()
		ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer stop()
		if made, err := traffic.Steady(ctx, traffic.Destination{Egress: service.Address(), Host: "any"}, 1000, 1); err != nil || len(made) == 0 {
			t.Fatalf("%d calls and error %v", len(made), err)
		}
	}
	call()
	middle := time.Now()
	before := len(r.since(time.Time{}))
	call()
	if all, late := len(r.since(time.Time{})), len(r.since(middle)); before == 0 || late == 0 || all != before+late {
		t.Errorf("%d calls before and %d after, of %d", before, late, all)
	}
	if r.behave(false); len(r.since(time.Time{})) != 0 {
		t.Error("a new behaviour has not forgotten the calls before")
	}
}

// TestCounterCountsBothDirections: a forwarder passes on and counts what goes in each direction, and ends with the machine.
func TestCounterCountsBothDirections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // answers each byte with two
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for one := make([]byte, 1); ; {
			if _, err := io.ReadFull(c, one); err != nil {
				return
			}
			if _, err := c.Write([]byte{one[0], one[0]}); err != nil {
				return
			}
		}
	}()
	machine, err := loopback.New(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	count := &counter{}
	address, err := count.before(&bench{Machine: machine}, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if passed := count.in(func() {
		if _, err := c.Write([]byte("abc")); err != nil {
			t.Error(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 6)); err != nil {
			t.Error(err)
		}
	}); passed != 9 {
		t.Errorf("%v bytes passed, want 9", passed)
	}
	if err := machine.Close(); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err == nil {
		t.Error("the connection is open, and the machine is closed")
	}
}
