package main

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
)

// loop makes n calls one after another and returns how many were admitted. It
// is safe for concurrent use. Where the calls spread over many breakers they
// go on at place from of the order in which these are called.
//
// Each peer writes its loops out, so that nothing stands between the loop and
// the peer's own function, and no peer pays for an indirection of ours.
type loop func(n, from int) (admitted int)

// peer is one row of the comparison. What it has no part in is nil.
type peer struct {
	name   string
	kind   string // empty where there is only one
	module string // its Go module; empty: ours, or the standard library

	one  func() loop            // calls of one closed breaker, each admitted and recorded as a success
	many func(d directory) loop // the same, of many breakers, each found by its name
	// open returns calls of an open breaker, and what opens it, or keeps it open; it
	// is called before each round.
	open func() (trip func(), calls loop)

	// lingers: goroutines of the peer work on after its calls have returned.
	lingers bool
}

// peers returns all rows, ours first.
func peers() []peer {
	return []peer{
		ours(), gobreakerPeer(), failsafeCount(), failsafeTime(), hystrixPeer(), aegisPeer(), resiliencyPeer(), handyPeer(),
		mutexFloor(), clockFloor(),
	}
}

// label returns the row's name with the version that is measured.
func (p *peer) label() string {
	label := p.name
	if info, ok := debug.ReadBuildInfo(); ok && p.module != "" {
		for _, m := range info.Deps {
			if m.Path == p.module {
				label += " " + m.Version[strings.LastIndex(m.Version, "-")+1:] // the tag, or the commit where there is none
			}
		}
	}
	if p.kind != "" {
		label += ", " + p.kind
	}
	return label
}

// directory is the names of many breakers, and the order in which they are called.
type directory struct {
	names []string
	order []string // as many as a power of two, so that going round costs a mask
}

// newDirectory returns n names and an order of at least length calls in which
// they come by turns at random. A name in the order is a copy: a caller has it
// in its cache, from the request at hand, while the breaker's own is wherever
// the breaker is.
func newDirectory(n, length int, random *rand.Rand) directory {
	d := directory{names: make([]string, n)}
	for i := range d.names {
		d.names[i] = fmt.Sprintf("upstream-%d", i)
	}
	size := 1
	for size < length || size < n {
		size *= 2
	}
	d.order = make([]string, 0, size)
	for len(d.order) < size {
		for _, i := range random.Perm(n) {
			if len(d.order) < size {
				d.order = append(d.order, strings.Clone(d.names[i]))
			}
		}
	}
	return d
}

// at returns a name of the order; len(order) is a power of two.
func at(order []string, i int) string { return order[i&(len(order)-1)] }

// byName makes a breaker for each name. Peers without a table of their own get
// the cheapest there is: a map that is never written again and needs no lock.
func byName[B any](d directory, create func() B) map[string]B {
	m := make(map[string]B, len(d.names))
	for _, name := range d.names {
		m[name] = create()
	}
	return m
}
