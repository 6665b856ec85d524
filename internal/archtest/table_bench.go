package archtest

// benchTable is the part of the table about the benchmarks, a module of its own.
var benchTable = []row{
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
		pkg: "bench/internal/measure", layer: 0,
		reason: "It times loops, whatever they do, so that our figures and the peers' figures are measured in one way.",
	},
	{
		pkg: "bench/envoy", layer: 12,
		ours:   []string{"bench/envoy/internal/traffic", "bench/internal/process", "policy", "endpoints", "xds", "xds/discovery"},
		third:  []string{controlPlaneAPI, grpcGo, protobufGo},
		reason: "It measures the binary beside an Envoy with the same configuration without us, so it has to make that configuration.",
	},
	{
		pkg: "bench/internal/process", layer: 0,
		reason: "It starts programs and reads their CPU time and memory, so that all servers are measured in one way.",
	},
	{
		pkg: "bench/internal/report", layer: 0,
		reason: "It prints tables and verdicts, whatever the figures are.",
	},
	{
		pkg: "bench/fleet", layer: 6,
		ours: []string{
			"bench/fleet/internal/bootstrap", "bench/fleet/internal/expect", "bench/fleet/internal/fleet", "bench/fleet/internal/linear",
			"bench/fleet/internal/mesh", "bench/fleet/internal/xdswire", "bench/internal/process", "bench/internal/report", "breaker", "wire",
		},
		reason: "It measures the binary from outside, by what proxies receive, so that any two versions of it, and another server, can be compared.",
	},
	{
		pkg: "bench/fleet/internal/bootstrap", layer: 0,
		third:  []string{yaml, protobufGo},
		reason: "It reads the bootstrap that a binary prints, as Envoy does, and knows nothing of the package that makes it.",
	},
	{
		pkg: "bench/fleet/internal/expect", layer: 1,
		ours:   []string{"bench/fleet/internal/xdswire"},
		reason: "It judges received bytes only, so that no server can claim that a change has arrived.",
	},
	{
		pkg: "bench/fleet/internal/fleet", layer: 5,
		ours:      []string{"bench/fleet/internal/bootstrap", "bench/fleet/internal/expect", "bench/fleet/internal/xdswire", "wire"},
		third:     []string{controlPlaneAPI, grpcGo, protobufGo},
		testOurs:  []string{"bench/fleet/internal/mesh"},
		testThird: []string{"go.uber.org/goleak"},
		reason:    "It simulates proxies for any control plane. A test compares it with a real Envoy, request by request.",
	},
	{
		pkg: "bench/fleet/internal/linear", layer: 5,
		third:  []string{"github.com/envoyproxy/go-control-plane", controlPlaneAPI, grpcGo, protobufGo},
		reason: "It serves the captured resources with go-control-plane, which is a dependency of the benchmarks only.",
	},
	{
		pkg: "bench/fleet/internal/mesh", layer: 0,
		third:     []string{protobufGo + "/encoding/protowire"},
		testOurs:  []string{"policy"},
		testThird: []string{controlPlaneAPI, protobufGo},
		reason:    "It writes policies as a user does, as text, so that they suit every version of the binary.",
	},
	{
		pkg: "bench/fleet/internal/xdswire", layer: 0, pure: true, silent: true,
		third:     []string{protobufGo + "/encoding/protowire"},
		testThird: []string{controlPlaneAPI, protobufGo},
		reason:    "It reads and writes discovery messages without Envoy's generated types, which are slow for thousands of proxies.",
	},
	{
		pkg: "bench/envoy/internal/traffic", layer: 0,
		reason: "It has callers and a service that are cheap beside a proxy: raw sockets, with none of our packages between them.",
	},
}
