package archtest

// xdsRows are the rows of package xds and of the packages below it.
var xdsRows = []row{
	{
		pkg: "xds/internal/message", layer: 5, pure: true, silent: true,
		third:  []string{controlPlaneAPI, protobufGo, yaml},
		reason: "How messages are packed and printed depends on no message.",
	},
	{
		pkg: "xds/internal/resource", layer: 6, pure: true,
		ours:      []string{"xds/internal/message", "internal/lockorder"},
		third:     []string{grpcGo, protobufGo},
		testThird: []string{controlPlaneAPI},
		reason:    "How resources are kept, compared and shared depends on no policy and on no proxy.",
	},
	{
		pkg: "xds/internal/connect", layer: 6, pure: true, silent: true,
		ours:   []string{"wire", "xds/internal/message"},
		third:  []string{controlPlaneAPI, protobufGo},
		reason: "A proxy connects to the control plane in the same ways as to upstreams, whatever a policy says.",
	},
	{
		pkg: "xds/bootstrap", layer: 7, pure: true,
		ours:   []string{"wire", "xds/internal/connect", "xds/internal/message"},
		third:  []string{controlPlaneAPI, protobufGo},
		reason: "A proxy's bootstrap is made where no policy is, such as by a webhook.",
	},
	{
		pkg: "xds/internal/cluster", layer: 7, pure: true, silent: true,
		ours:   []string{"policy", "breaker", "outlier", "xds/internal/connect"},
		third:  []string{controlPlaneAPI, protobufGo},
		reason: "A cluster depends on its upstream only. Breakers are in the routes, and endpoints are resources of their own.",
	},
	{
		pkg: "xds/internal/filter", layer: 6, pure: true,
		ours:   []string{"policy", "wire", "xds/internal/message"},
		third:  []string{controlPlaneAPI, protobufGo},
		reason: "Routes turn on the filters of the listener, so names and configurations of filters are below both.",
	},
	{
		pkg: "xds/internal/route", layer: 7, pure: true, silent: true,
		ours:   []string{"policy", "breaker", "wire", "gate", "xds/internal/connect", "xds/internal/filter", "xds/internal/message"},
		third:  []string{controlPlaneAPI, protobufGo},
		reason: "It splits routes of other control planes too, so it knows no listener and no cluster.",
	},
	{
		pkg: "xds/internal/listener", layer: 7, pure: true,
		ours:   []string{"policy", "wire", "xds/internal/connect", "xds/internal/filter", "xds/internal/message"},
		third:  []string{controlPlaneAPI, grpcGo, protobufGo},
		reason: "The egress listener is the same for every policy, so it knows no routes.",
	},
	{
		pkg: "xds", layer: 8, pure: true,
		ours:      []string{"policy", "wire", "gate", "endpoints", "xds/internal/cluster", "xds/internal/connect", "xds/internal/filter", "xds/internal/listener", "xds/internal/message", "xds/internal/resource", "xds/internal/route"},
		third:     []string{controlPlaneAPI, protobufGo},
		testOurs:  []string{"breaker", "outlier", "xds/bootstrap"},
		testThird: []string{grpcGo, yaml},
		reason:    "Translation is a pure function of the policy.",
	},
	{
		pkg: "xds/discovery/internal/node", layer: 9, pure: true,
		ours:     []string{"policy", "wire", "xds"},
		third:    []string{controlPlaneAPI, protobufGo},
		testOurs: []string{"xds/bootstrap"},
		reason:   "A proxy's introduction depends only on its first request.",
	},
	{
		pkg: "xds/discovery/internal/protocol", layer: 9, pure: true,
		ours:   []string{"wire", "xds", "xds/internal/resource", "internal/untrusted"},
		third:  []string{controlPlaneAPI, grpcGo, protobufGo, rpcStatus},
		reason: "The protocol is the same for all types and all proxies. It depends on the requests, the resources and the time.",
	},
	{
		pkg: "xds/discovery/internal/presence", layer: 7, pure: true,
		ours:   []string{"internal/lockorder"},
		third:  []string{grpcGo},
		reason: "Two proxies with one id show by their addresses and their times, whatever they are sent.",
	},
	{
		pkg: "xds/discovery/internal/rollout", layer: 9, pure: true,
		ours:     []string{"xds", "internal/lockorder"},
		testOurs: []string{"gate"},
		reason:   "The way of gates to the proxies depends only on the gates and on the answers to them.",
	},
	{
		pkg: "xds/discovery/internal/publication", layer: 10, pure: true,
		ours:   []string{"policy", "endpoints", "xds", "internal/lockorder", "xds/discovery/internal/node"},
		reason: "The resources of a proxy depend on the policy, the endpoints and the proxy's node, and not on the resources that it was sent so far.",
	},
	{
		pkg: "xds/discovery/internal/plan", layer: 10, pure: true, silent: true,
		ours:      []string{"wire", "xds", "xds/discovery/internal/protocol"},
		testOurs:  []string{"xds/internal/resource"},
		testThird: []string{controlPlaneAPI, grpcGo, protobufGo, rpcStatus},
		reason:    "The order in which a proxy gets its resources can be tested without streams, timers and other proxies.",
	},
	{
		pkg: "xds/discovery", layer: 11,
		ours:      []string{"api", "policy", "endpoints", "xds", "gate", "internal/guard", "internal/untrusted", "internal/lockorder", "xds/discovery/internal/node", "xds/discovery/internal/plan", "xds/discovery/internal/presence", "xds/discovery/internal/protocol", "xds/discovery/internal/publication", "xds/discovery/internal/rollout"},
		third:     []string{controlPlaneAPI, grpcGo, protobufGo, promClient},
		testOurs:  []string{"wire", "xds/bootstrap", "xds/internal/resource"},
		testThird: []string{rpcStatus},
		reason:    "It sends the resources that xds made from the policy and the endpoints. Other packages get its results as values, through the app.",
	},
}
