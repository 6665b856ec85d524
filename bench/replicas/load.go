package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"breakwater.dev/bench/internal/traffic"
)

// underLoad sends perSecond calls to each host, spread over the proxies, while f runs. It returns the calls of each host, by proxy.
func (s *setup) underLoad(hosts []string, perSecond float64, f func() error) (map[string][][]traffic.Call, error) {
	ctx, stop := context.WithCancel(s.Context)
	defer stop()
	var mu sync.Mutex
	var problems []error
	calls := map[string][][]traffic.Call{}
	var all sync.WaitGroup
	period := time.Duration(float64(time.Second) / perSecond)
	for n, host := range hosts {
		for i, p := range s.proxies {
			all.Go(func() {
				// The calls of proxies and hosts alternate.
				s.Sleep(time.Duration(i)*period + period*time.Duration(n)/time.Duration(len(hosts)))
				made, err := traffic.Steady(ctx, p.To(host), perSecond/fleet, 1)
				mu.Lock()
				defer mu.Unlock()
				calls[host], problems = append(calls[host], made), append(problems, err)
			})
		}
	}
	err := f()
	stop()
	all.Wait()
	return calls, errors.Join(append(problems, err)...)
}
