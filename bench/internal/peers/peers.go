package peers

import (
	"runtime/debug"
	"strings"

	"breakwater.dev/bench/internal/measure"
)

// Peer is one row of the comparison. A function is nil where the peer has no part in its columns.
type Peer struct {
	Name   string
	Kind   string // empty where the peer has one row only
	Module string // its Go module; empty for ours and for the floors

	// One returns calls of one closed breaker. Each is admitted, and recorded as a success.
	One func() measure.Loop
	// Many returns the same calls of many breakers, each found by its name.
	Many func(d Directory) measure.Loop
	// Open returns calls of an open breaker, and trip, which opens the breaker or keeps it
	// open. Trip is called before each round.
	Open func() (trip func(), calls measure.Loop)

	// Lingers says that goroutines of the peer go on working after its calls have returned.
	Lingers bool
}

// All returns all rows: ours first, the clock alone last.
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
				label += " " + m.Version[strings.LastIndex(m.Version, "-")+1:] // the tag, or the commit where there is none
			}
		}
	}
	if p.Kind != "" {
		label += ", " + p.Kind
	}
	return label
}
