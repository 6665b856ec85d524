package archtest

// benchRows are the part of the table about the benchmarks, a module of its own.
var benchRows = []row{
	{
		pkg: "bench", layer: 8,
		ours:   []string{"bench/internal/measure", "bench/internal/peers", "bench/internal/report", "breaker", "policy", "metrics"},
		reason: "It measures the library and the metrics as their users get them. It is a module of its own, so that the libraries that it compares are no dependencies of ours.",
	},
	{
		pkg: "bench/internal/peers", layer: 6,
		ours:   []string{"bench/internal/measure", "breaker"},
		reason: "It has the calls of each breaker, ours included. How they are timed is the same for all of them.",
	},
	{
		pkg: "bench/internal/...", layer: 0,
		reason: "They time loops, run programs and print tables, whatever these are, so that all figures are measured in one way.",
	},
	{
		pkg: "bench/envoy", layer: 12,
		ours:   []string{"bench/envoy/internal/traffic", "bench/internal/process", "policy", "endpoints", "xds", "xds/discovery"},
		third:  []string{controlPlaneAPI, grpcGo, protobufGo},
		reason: "It measures the binary beside an Envoy with the same configuration without us, so it has to make that configuration.",
	},
	{
		pkg: "bench/envoy/internal/traffic", layer: 0,
		reason: "It has callers and a service that are cheap beside a proxy: raw sockets, with none of our packages between them.",
	},
	{
		pkg: "bench/fleet", layer: 7,
		ours:   []string{"bench/fleet/internal/...", "bench/internal/process", "bench/internal/report", "breaker", "wire"},
		reason: "It measures the binary from outside, by what proxies receive, so that any two versions and another server can be compared.",
	},
	{
		pkg: "bench/fleet/internal/fleet", layer: 6,
		ours:     []string{"bench/fleet/internal/bootstrap", "bench/fleet/internal/expect", "bench/fleet/internal/xdswire", "wire"},
		testOurs: []string{"bench/fleet/internal/mesh"},
		reason:   "It simulates proxies for any control plane. A test compares it with a real Envoy, request by request.",
	},
	{
		pkg: "bench/fleet/internal/expect", layer: 1,
		ours:   []string{"bench/fleet/internal/xdswire"},
		reason: "It judges received bytes only, so that no server can claim that a change has arrived.",
	},
	{
		pkg: "bench/fleet/internal/...", layer: 0,
		testOurs: []string{"policy"},
		reason:   "They read bootstraps and discovery messages, write policies as text, and run the other server, so that they suit every version of ours.",
	},
}
