package table

// benchRows are the part of the table about the benchmarks, a module of its own.
var benchRows = []Row{
	{
		Pkg: "bench", Layer: 8,
		Ours:   []string{"bench/internal/measure", "bench/internal/peers", "bench/internal/report", "breaker", "policy", "metrics"},
		Reason: "It measures the library and the metrics as their users get them. It is a module of its own, so that the libraries that it compares are no dependencies of ours.",
	},
	{
		Pkg: "bench/internal/peers", Layer: 6,
		Ours:   []string{"bench/internal/measure", "breaker"},
		Reason: "It has the calls of each breaker, ours included. How they are timed is the same for all of them.",
	},
	{
		Pkg: "bench/internal/loopback", Layer: 1,
		Ours:   []string{"bench/internal/process", "bench/internal/traffic"},
		Reason: "It runs control planes, Envoys and services for all benchmarks with real proxies in one way.",
	},
	{
		Pkg: "bench/internal/...", Layer: 0,
		Reason: "They time loops, run programs and print tables, whatever these are, so that all figures are measured in one way.",
	},
	{
		Pkg: "bench/envoy", Layer: 13,
		Ours:   []string{"bench/envoy/internal/baseline", "bench/internal/loopback", "bench/internal/process", "bench/internal/traffic"},
		Reason: "It measures the binary with a real Envoy, beside an older binary and an Envoy without us.",
	},
	{
		Pkg: "bench/envoy/internal/baseline", Layer: 12,
		Ours:   []string{"policy", "endpoints", "xds", "xds/discovery"},
		Third:  []string{controlPlaneAPI, grpcGo, protobufGo},
		Reason: "It makes the same configuration as we do, without us in it, so that a breaker is compared with nothing else than its absence.",
	},
	{
		Pkg: "bench/replicas", Layer: 7,
		Ours:   []string{"api", "bench/internal/loopback", "bench/internal/measure", "bench/internal/process", "bench/internal/report", "bench/internal/traffic"},
		Reason: "It measures the binary from outside, by what callers get and what its pages say.",
	},
	{
		Pkg: "bench/fleet", Layer: 7,
		Ours:   []string{"bench/fleet/internal/...", "bench/internal/process", "bench/internal/report", "breaker", "wire"},
		Reason: "It measures the binary from outside, by what proxies receive, so that any two versions and another server can be compared.",
	},
	{
		Pkg: "bench/fleet/internal/fleet", Layer: 6,
		Ours:     []string{"bench/fleet/internal/bootstrap", "bench/fleet/internal/expect", "bench/fleet/internal/xdswire", "wire"},
		TestOurs: []string{"bench/fleet/internal/mesh"},
		Reason:   "It simulates proxies for any control plane. A test compares it with a real Envoy, request by request.",
	},
	{
		Pkg: "bench/fleet/internal/expect", Layer: 1,
		Ours:   []string{"bench/fleet/internal/xdswire"},
		Reason: "It judges received bytes only, so that no server can claim that a change has arrived.",
	},
	{
		Pkg: "bench/fleet/internal/...", Layer: 0,
		TestOurs: []string{"policy"},
		Reason:   "They read bootstraps and discovery messages, write policies as text, and run the other server, so that they suit every version of ours.",
	},
}
