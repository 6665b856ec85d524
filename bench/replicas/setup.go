package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"breakwater.dev/api"
	"breakwater.dev/bench/internal/loopback"
	"breakwater.dev/bench/internal/process"
)

// fleet is the number of proxies, and several the number of replicas that are compared with one.
const fleet, several = 4, 3

// setup is a number of control planes with their proxies. Where there are several, they share their breakers by a store.
type setup struct {
	*bench
	name     string
	replicas []*replica
	store    *process.Process // nil: there is one control plane
	proxies  []*loopback.Proxy
}

// replica is one control plane.
type replica struct {
	*process.Process
	name, ip string
	args     []string
}

// setup starts n control planes with one policy, and the proxies. advertise returns the address at which the others reach the one
// with an address; nil: that one.
func (b *bench) setup(n int, policy string, advertise func(string) (string, error)) (*setup, error) {
	s := &setup{bench: b, name: "one"}
	file, err := b.Write("policy.yaml", policy)
	if err != nil {
		return nil, err
	}
	var shared []string
	if n > 1 {
		s.name = "three"
		store, err := s.startStore()
		if err != nil {
			return nil, err
		}
		shared = []string{"--store", "redis://" + store}
	}
	var xds []string
	for i := range n {
		ip, err := b.IP()
		if err != nil {
			return nil, err
		}
		r := &replica{name: fmt.Sprint("replica-", i+1), ip: ip}
		// Proxies stay where they are, so that all rounds measure the same.
		r.args = append([]string{"serve", "--policy", file, "--state-dir", "", "--instance", r.name, "--proxy-connection-age", "0",
			"--xds-listen", ip + ":18000", "--http-listen", ip + ":18080"}, shared...)
		if advertise != nil {
			address, err := advertise(ip + ":18000")
			if err != nil {
				return nil, err
			}
			r.args = append(r.args, "--replica-address", address)
		}
		s.replicas, xds = append(s.replicas, r), append(xds, ip+":18000")
		if err := s.start(r); err != nil {
			return nil, err
		}
	}
	if err := s.agree(); err != nil {
		return nil, err
	}
	return s, s.startProxies(strings.Join(xds, ","))
}

// startStore starts a Valkey that keeps nothing on disk.
func (s *setup) startStore() (address string, err error) {
	ip, err := s.IP()
	if err != nil {
		return "", err
	}
	address = ip + ":6379"
	if s.store, err = s.Start(s.options.valkey, "--bind", ip, "--port", "6379", "--save", "", "--appendonly", "no"); err != nil {
		return "", err
	}
	return address, s.WaitUntil("Valkey answers", func() error {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte("PING\r\n")); err != nil {
			return err
		}
		answer := make([]byte, len("+PONG"))
		_, err = io.ReadFull(c, answer)
		return err
	})
}

// start starts a replica, again where it has ended, and returns when it lets proxies in.
func (s *setup) start(r *replica) (err error) {
	if r.Process, err = s.Start(s.options.binary, r.args...); err != nil {
		return err
	}
	return s.WaitUntil(r.name+" is ready", func() error {
		_, err := loopback.Fetch("http://" + r.ip + ":18080/health/ready")
		return err
	})
}

// agree waits until all control planes know and reach one another.
func (s *setup) agree() error {
	if len(s.replicas) == 1 {
		return nil
	}
	return s.WaitUntil("the replicas agree", func() error {
		for _, r := range s.replicas {
			var seen api.ReplicaList
			if err := r.read("/replicas", &seen); err != nil {
				return err
			}
			if seen.Replicas == nil || len(seen.Members) != len(s.replicas) || seen.Unreachable > 0 {
				return fmt.Errorf("%s sees %+v", r.name, seen.Replicas)
			}
		}
		return nil
	})
}

// startProxies starts the proxies, and each of them again until they are spread over the replicas as evenly as can be.
func (s *setup) startProxies(xds string) error {
	for i := range fleet {
		for {
			p, err := s.Proxy(s.options.binary, xds, fmt.Sprint("proxy-", i+1))
			if err != nil {
				return err
			}
			most, err := s.mostProxies(i + 1)
			if err != nil {
				return err
			}
			if most <= i/len(s.replicas)+1 {
				s.proxies = append(s.proxies, p)
				break
			}
			p.Kill()
			if _, err := s.mostProxies(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// mostProxies waits until the replicas have n proxies, and returns how many the one with the most has.
func (s *setup) mostProxies(n int) (most int, err error) {
	return most, s.WaitUntil("the replicas have the proxies", func() error {
		var all []int
		sum := 0
		for _, r := range s.replicas {
			page, err := loopback.Fetch("http://" + r.ip + ":18080/metrics")
			if err != nil {
				return err
			}
			has, err := loopback.SumOf(page, "breakwater_xds_nodes", "")
			if err != nil {
				return err
			}
			all, sum = append(all, int(has)), sum+int(has)
		}
		if sum != n {
			return fmt.Errorf("they have %d, want %d", all, n)
		}
		most = slices.Max(all)
		return nil
	})
}

// read reads a page of a replica.
func (r *replica) read(path string, into any) error {
	page, err := loopback.Fetch("http://" + r.ip + ":18080" + path)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(page), into)
}

// cpu returns the CPU time that all replicas have used.
func (s *setup) cpu() (sum time.Duration, err error) {
	for _, r := range s.replicas {
		used, problem := r.CPU()
		sum, err = sum+used, errors.Join(err, problem)
	}
	return sum, err
}

// owned returns, for each replica, the breakers that it owns, of those whose names begin with a prefix. One control plane alone owns all.
func (s *setup) owned(prefix string) (map[string][]string, error) {
	var list api.BreakerList
	if err := s.replicas[0].read("/breakers", &list); err != nil {
		return nil, err
	}
	owned := map[string][]string{}
	for _, b := range list.Breakers {
		if strings.HasPrefix(b.Service, prefix) {
			owned[b.Owner] = append(owned[b.Owner], b.Service)
		}
	}
	return owned, nil
}
