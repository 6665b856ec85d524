package main

import (
	"errors"
	"time"

	"github.com/eapache/go-resiliency/breaker"
)

// errFailed is the failure of calls that are to fail.
var errFailed = errors.New("failed")

func work() error { return nil }

// newResiliency counts errors only: a success of a closed breaker leaves no trace
// in it, and so it is cheap. It has no window, no rate, no slow calls and no
// limit of probes; errors that are a timeout apart are not counted together.
func newResiliency(timeout time.Duration) *breaker.Breaker { return breaker.New(5, 3, timeout) }

func resiliencyPeer() peer {
	return peer{
		name: "eapache/go-resiliency", module: "github.com/eapache/go-resiliency",
		one: func() loop { return resiliencyCalls(newResiliency(30 * time.Second)) },
		many: func(d directory) loop {
			return resiliencyMany(byName(d, func() *breaker.Breaker { return newResiliency(30 * time.Second) }), d.order)
		},
		open: func() (func(), loop) {
			b := newResiliency(forLong)
			trip := func() {
				for b.GetState() == breaker.Closed {
					_ = b.Run(func() error { return errFailed }) // it is to fail
				}
			}
			return trip, resiliencyCalls(b)
		},
	}
}

func resiliencyCalls(b *breaker.Breaker) loop {
	return func(n, _ int) (admitted int) {
		for range n {
			if b.Run(work) == nil {
				admitted++
			}
		}
		return admitted
	}
}

func resiliencyMany(all map[string]*breaker.Breaker, order []string) loop {
	return func(n, from int) (admitted int) {
		for i := range n {
			if all[at(order, from+i)].Run(work) == nil {
				admitted++
			}
		}
		return admitted
	}
}
