package peers

import (
	"runtime/debug"
	"strings"

	"breakwater.dev/bench/internal/measure"
)

// Peer is one row of the comparison. A function is nil if the peer is not measured in its columns.
type Peer struct {
	Name   string
	Kind   string // distinguishes several rows of the same name; empty: there is only one
	Module string // its Go module; empty for ours and for the floors

	// One returns calls of one closed breaker. Each is admitted, and recorded as a success.
	One func() measure.Loop
	// Many returns the same calls of many breakers, each found by its name.
	Many func(d Directory) measure.Loop
	// Open returns calls of an open breaker, and trip, which opens the breaker or keeps it
	// open. trip is called before each round.
	Open func() (trip func(), calls measure.Loop)

	// Lingers means that goroutines of the peer continue to work after its calls have returned.
	Lingers bool
}

// All returns all rows: our breaker first, and the clock alone last.
func All() []Peer {
	return []Peer{
		Ours(), gobreakerPeer(), failsafeCount(), failsafeTime(), hystrixPeer(), aegisPeer(), resiliencyPeer(), handyPeer(),
		MutexFloor(), clockFloor(),
	}
}

// Label returns the name of the row, with the version of the module that is measured.
func (p *Peer) Label() string {
	label := p.Name
	if info, ok := debug.ReadBuildInfo(); ok && p.Module != "" {
		for _, m := range info.Deps {
			if m.Path == p.Module {
				label += " " + m.Version[strings.LastIndex(m.Version, "-")+1:] // the tag, or the commit if there is no tag
			}
		}
	}
	if p.Kind != "" {
		label += ", " + p.Kind
	}
	return label
}
