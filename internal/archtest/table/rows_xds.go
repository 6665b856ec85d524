package table

// xdsRows are the rows of package xds and of the packages below it.
var xdsRows = []Row{
	{
		Pkg: "xds/internal/message", Layer: 5, Pure: true, Silent: true,
		Third:  []string{controlPlaneAPI, protobufGo, yaml},
		Reason: "How messages are packed and printed depends on no message.",
	},
	{
		Pkg: "xds/internal/resource", Layer: 6, Pure: true,
		Ours:      []string{"xds/internal/message", "internal/lockorder"},
		Third:     []string{grpcGo, protobufGo},
		TestThird: []string{controlPlaneAPI},
		Reason:    "How resources are kept, compared and shared depends on no policy and on no proxy.",
	},
	{
		Pkg: "xds/internal/connect", Layer: 6, Pure: true, Silent: true,
		Ours:   []string{"wire", "xds/internal/message"},
		Third:  []string{controlPlaneAPI, protobufGo},
		Reason: "A proxy connects to the control plane in the same ways as to upstreams, whatever a policy says.",
	},
	{
		Pkg: "xds/bootstrap", Layer: 7, Pure: true,
		Ours:   []string{"wire", "xds/internal/connect", "xds/internal/message"},
		Third:  []string{controlPlaneAPI, protobufGo},
		Reason: "A proxy's bootstrap is made where no policy is, such as by a webhook.",
	},
	{
		Pkg: "xds/internal/cluster", Layer: 7, Pure: true, Silent: true,
		Ours:   []string{"policy", "breaker", "outlier", "xds/internal/connect"},
		Third:  []string{controlPlaneAPI, protobufGo},
		Reason: "A cluster depends on its upstream only. Breakers are in the routes, and endpoints are resources of their own.",
	},
	{
		Pkg: "xds/internal/filter", Layer: 6, Pure: true,
		Ours:   []string{"policy", "wire", "xds/internal/message"},
		Third:  []string{controlPlaneAPI, protobufGo},
		Reason: "Routes turn on the filters of the listener, so names and configurations of filters are below both.",
	},
	{
		Pkg: "xds/internal/route", Layer: 7, Pure: true, Silent: true,
		Ours:   []string{"policy", "breaker", "wire", "gate", "xds/internal/connect", "xds/internal/filter", "xds/internal/message"},
		Third:  []string{controlPlaneAPI, protobufGo},
		Reason: "It splits routes of other control planes too, so it knows no listener and no cluster.",
	},
	{
		Pkg: "xds/internal/listener", Layer: 7, Pure: true,
		Ours:   []string{"policy", "wire", "xds/internal/connect", "xds/internal/filter", "xds/internal/message"},
		Third:  []string{controlPlaneAPI, grpcGo, protobufGo},
		Reason: "The egress listener is the same for every policy, so it knows no routes.",
	},
	{
		Pkg: "xds", Layer: 8, Pure: true,
		Ours:      []string{"policy", "breaker", "wire", "gate", "endpoints", "xds/internal/cluster", "xds/internal/connect", "xds/internal/filter", "xds/internal/listener", "xds/internal/message", "xds/internal/resource", "xds/internal/route"},
		Third:     []string{controlPlaneAPI, protobufGo},
		TestOurs:  []string{"outlier", "xds/bootstrap"},
		TestThird: []string{grpcGo, yaml},
		Reason:    "Translation is a pure function of the policy.",
	},
	{
		Pkg: "xds/discovery/internal/node", Layer: 9, Pure: true,
		Ours:     []string{"policy", "wire", "xds"},
		Third:    []string{controlPlaneAPI, protobufGo},
		TestOurs: []string{"xds/bootstrap"},
		Reason:   "A proxy's introduction depends only on its first request.",
	},
	{
		Pkg: "xds/discovery/internal/protocol", Layer: 9, Pure: true,
		Ours:      []string{"wire", "xds", "xds/internal/resource", "xds/discovery/internal/message", "internal/untrusted"},
		Third:     []string{controlPlaneAPI, rpcStatus},
		TestThird: []string{grpcGo, protobufGo},
		Reason:    "The protocol is the same for all types and all proxies. It depends on the requests, the resources and the time.",
	},
	{
		Pkg: "xds/discovery/internal/message", Layer: 8, Pure: true, Silent: true,
		Ours:   []string{"xds/internal/resource"},
		Third:  []string{controlPlaneAPI, grpcGo, protobufGo, rpcStatus},
		Reason: "The bytes of a request or a response depend on nothing but the message.",
	},
	{
		Pkg: "xds/discovery/internal/presence", Layer: 7, Pure: true,
		Ours:   []string{"internal/lockorder"},
		Third:  []string{grpcGo},
		Reason: "Two proxies with one id show by their addresses and their times, whatever they are sent.",
	},
	{
		Pkg: "xds/discovery/internal/rollout", Layer: 9, Pure: true,
		Ours:     []string{"xds", "internal/lockorder"},
		TestOurs: []string{"gate"},
		Reason:   "The way of gates to the proxies depends only on the gates and on the answers to them.",
	},
	{
		Pkg: "xds/discovery/internal/lease", Layer: 5, Pure: true, Silent: true,
		Ours:   []string{"wire", "gate"},
		Reason: "Until when a proxy keeps its layers depends on the times of the responses and on the answers to them.",
	},
	{
		Pkg: "xds/discovery/internal/publication", Layer: 10, Pure: true,
		Ours:   []string{"policy", "endpoints", "xds", "internal/lockorder", "xds/discovery/internal/node"},
		Reason: "The resources of a proxy depend on the policy, the endpoints and the proxy's node, and not on the resources that it was sent so far.",
	},
	{
		Pkg: "xds/discovery/internal/plan", Layer: 10, Pure: true, Silent: true,
		Ours:      []string{"wire", "xds", "xds/discovery/internal/message", "xds/discovery/internal/protocol"},
		TestOurs:  []string{"xds/internal/resource"},
		TestThird: []string{controlPlaneAPI, grpcGo, protobufGo, rpcStatus},
		Reason:    "The order in which a proxy gets its resources can be tested without streams, timers and other proxies.",
	},
	{
		Pkg: "xds/discovery", Layer: 11,
		Ours:      []string{"api", "policy", "endpoints", "xds", "gate", "internal/guard", "internal/untrusted", "internal/lockorder", "wire", "xds/discovery/internal/lease", "xds/discovery/internal/message", "xds/discovery/internal/node", "xds/discovery/internal/plan", "xds/discovery/internal/presence", "xds/discovery/internal/protocol", "xds/discovery/internal/publication", "xds/discovery/internal/rollout"},
		Third:     []string{controlPlaneAPI, grpcGo, protobufGo, promClient},
		TestOurs:  []string{"xds/bootstrap", "xds/internal/resource"},
		TestThird: []string{rpcStatus},
		Reason:    "It sends the resources that xds made from the policy and the endpoints. Other packages get its results as values, through the app.",
	},
}
