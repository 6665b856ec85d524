package archtest

import "slices"

// Modules of others that several rows share.
const (
	controlPlaneAPI = "github.com/envoyproxy/go-control-plane/envoy"
	grpcGo          = "google.golang.org/grpc"
	protobufGo      = "google.golang.org/protobuf"
	rpcStatus       = "google.golang.org/genproto/googleapis/rpc" // the type of a NACK's message
	yaml            = "go.yaml.in/yaml/v3"
	promClient      = "github.com/prometheus/client_golang"
)

// table says which package may import which. Its rules bind files that are not tests; a test
// may import the same packages, those that its row grants to tests, and the test kit. It is printed in docs/architecture.md.
var table = slices.Concat(benchRows, xdsRows, otherRows)

var otherRows = []row{
	{
		pkg: "instant", layer: 0, pure: true, silent: true,
		reason: "Both engines count in one kind of time, so that a program can pass both the same reading of its clock.",
	},
	{
		pkg: "breaker", layer: 1, pure: true, silent: true,
		ours:   []string{"instant"},
		reason: "Go programs use the state machine in process. It must cost them no dependency, and be testable without a clock.",
	},
	{
		pkg: "outlier", layer: 1, pure: true, silent: true,
		ours:   []string{"instant"},
		reason: "It owns Envoy's semantics of ejection, which depend on nothing.",
	},
	{
		pkg: "api", layer: 0,
		reason: "Servers put their status into its types, and other programs read them. It must cost neither of them a dependency.",
	},
	{
		pkg: "policy", layer: 3, pure: true, silent: true,
		ours:   []string{"breaker", "outlier", "wire", "policy/internal/..."},
		third:  []string{yaml},
		reason: "Engines own their Config and its validation, so policy imports them. It refuses the names and ports in wire that proxies use for themselves. Knowing Envoy here would let its terms leak into the language. Knowing where policies are kept would make files the only source.",
	},
	{
		pkg: "endpoints", layer: 4, pure: true, silent: true,
		ours:   []string{"policy"},
		reason: "Endpoints change at another rate than policies, so they are a table beside the compiled set, which any source can fill.",
	},
	{
		pkg: "wire", layer: 2, pure: true, silent: true,
		ours:   []string{"breaker"},
		reason: "The agreements between us and a proxy are in one package, so that their writers and their readers cannot drift apart. It knows neither Envoy's messages nor its own readers.",
	},
	{
		pkg: "internal/alslog", layer: 2, pure: true, silent: true,
		third:     []string{protobufGo + "/encoding/protowire"},
		testThird: []string{controlPlaneAPI, protobufGo},
		reason:    "It reads Envoy's logs without Envoy's generated types, which are slow. Packages that import it decide what an entry means.",
	},
	{
		pkg: "policy/internal/...", layer: 1, pure: true, silent: true,
		ours:   []string{"internal/nearest"},
		third:  []string{yaml},
		reason: "These packages read YAML strictly and print values. They know nothing of policies.",
	},
	{
		pkg: "internal/untrusted", layer: 0,
		reason: "Every package that logs or shows text from the network makes it safe in this one way.",
	},
	{
		pkg: "internal/lockorder", layer: 0,
		reason: "The order of the locks of all packages is one list, so it must be below all of them.",
	},
	{
		pkg: "internal/guard", layer: 5,
		ours:   []string{"internal/untrusted"},
		third:  []string{grpcGo, promClient},
		reason: "All services on the port for proxies ask one guard, which knows none of them.",
	},
	{
		pkg: "extproc", layer: 6,
		ours:   []string{"policy", "breaker", "wire", "internal/guard", "internal/lockorder"},
		third:  []string{controlPlaneAPI, grpcGo, protobufGo, promClient},
		reason: "It asks the engine and answers the proxy. The app gives its results to the metrics and the gates.",
	},
	{
		pkg: "feed", layer: 6,
		ours:      []string{"policy", "breaker", "outlier", "wire", "gate", "feed/internal/backlog", "feed/internal/clock", "feed/internal/entry", "feed/internal/running", "feed/internal/sampling", "feed/internal/suspects", "internal/lockorder", "internal/alslog", "internal/guard", "internal/untrusted"},
		third:     []string{controlPlaneAPI, grpcGo, promClient},
		testThird: []string{protobufGo},
		reason:    "It reports logged calls to the engine. The gates that follow reach the proxies through the app.",
	},
	{
		pkg: "feed/internal/backlog", layer: 5, pure: true,
		ours:   []string{"breaker"},
		third:  []string{grpcGo},
		reason: "What waits, and what is dropped when too much waits, does not depend on what the messages say.",
	},
	{
		pkg: "feed/internal/entry", layer: 3, pure: true, silent: true,
		ours:   []string{"breaker", "outlier", "wire", "feed/internal/running", "internal/alslog"},
		reason: "What an entry means is the same for all breakers, and can be read without the counting around it.",
	},
	{
		pkg: "feed/internal/clock", layer: 2, pure: true, silent: true,
		ours:   []string{"instant"},
		reason: "It translates the clocks of proxies into ours, which can be understood and tested without a log.",
	},
	{
		pkg: "feed/internal/running", layer: 2, pure: true, silent: true,
		ours:   []string{"instant"},
		reason: "Which calls were reported before can be understood and tested without a log, and so can the bounds on them.",
	},
	{
		pkg: "feed/internal/sampling", layer: 3, pure: true, silent: true,
		ours:   []string{"breaker", "wire"},
		reason: "Which sampling follows from which rates can be understood and tested without a log, and so can the weight of an entry.",
	},
	{
		pkg: "feed/internal/suspects", layer: 4, pure: true,
		ours:   []string{"breaker", "feed/internal/sampling", "internal/lockorder"},
		reason: "The order of outcomes from many proxies, and what is certain of a run in it, depend on times and outcomes only, and not on logs.",
	},
	{
		pkg: "gate", layer: 4, pure: true, silent: true,
		ours:   []string{"breaker", "policy", "wire"},
		reason: "A breaker's gate is a pure function of its state. Rendering it is the work of xds, or of another mesh.",
	},
	{
		pkg: "gate/publisher", layer: 5,
		ours:   []string{"breaker", "policy", "gate", "wire", "internal/lockorder"},
		third:  []string{promClient},
		reason: "When gates are published depends on breakers, the feed and proxies, which it knows by interfaces of its own.",
	},
	{
		pkg: "internal/logs", layer: 2,
		ours:   []string{"api", "breaker", "outlier"},
		reason: "Its lines say the same about a breaker as the HTTP answers do, in the same words. The app decides which lines there are.",
	},
	{
		pkg: "metrics", layer: 4,
		ours:      []string{"api", "policy", "breaker", "outlier", "metrics/internal/..."},
		third:     []string{promClient, "github.com/prometheus/common"},
		testThird: []string{"github.com/prometheus/client_model"},
		reason:    "It has the metrics of breakers and of loads. Each server describes its own metrics, so that a new figure changes that server alone.",
	},
	{
		pkg: "metrics/internal/...", layer: 2,
		ours:   []string{"breaker", "outlier"},
		reason: "They write the text format for breakers and for ejections, and know nothing of each other.",
	},
	{
		pkg: "internal/httpapi", layer: 4,
		ours:   []string{"api", "policy", "breaker", "outlier", "internal/httpapi/..."},
		third:  []string{promClient},
		reason: "It knows the servers by interfaces of its own. If it imported them, each change of a server would change the pages.",
	},
	{
		pkg: "internal/httpapi/...", layer: 2,
		ours:   []string{"api"},
		reason: "Parts of the HTTP API that know nothing of its pages: followers, requests for a change by hand.",
	},
	{
		pkg: "store", layer: 4,
		ours:   []string{"breaker"},
		third:  []string{promClient},
		reason: "It saves the states that it is given, soon after the app says that one has changed.",
	},
	{
		pkg: "sources/files", layer: 4,
		ours:   []string{"policy"},
		third:  []string{"github.com/fsnotify/fsnotify"},
		reason: "A source finds policies and notices changes. The policy knows their meaning, so other sources can stand beside this one.",
	},
	{
		pkg: "internal/driver", layer: 4,
		ours:   []string{"breaker", "internal/lockorder"},
		reason: "The engine has no clock and no goroutine. The control plane and Go programs give it both in this one way.",
	},
	{
		pkg: "inprocess", layer: 5,
		ours:   []string{"breaker", "policy", "sources/files", "internal/driver"},
		reason: "A program that uses the breakers in process has no proxies. It must not have to link gRPC and Envoy's API.",
	},
	{
		pkg: "internal/app", layer: 12,
		ours:      []string{"internal/logs", "breaker", "outlier", "policy", "endpoints", "xds/discovery", "extproc", "feed", "metrics", "internal/httpapi", "api", "store", "gate", "gate/publisher", "sources/files", "internal/driver", "internal/guard", "internal/untrusted"},
		testOurs:  []string{"wire", "xds"},
		third:     []string{grpcGo, promClient},
		testThird: []string{controlPlaneAPI, protobufGo},
		reason:    "All parts are connected here, so that no part has to know another.",
	},
	{
		pkg: "internal/cli", layer: 2,
		ours:   []string{"api", "internal/nearest"},
		third:  []string{"golang.org/x/sys"},
		reason: "It shows the answers of a control plane, which it knows only by the client in api.",
	},
	{
		pkg: "cmd/controlplane", layer: 13,
		ours:   []string{"internal/logs", "api", "internal/app", "internal/cli", "policy", "sources/files", "wire", "xds", "xds/bootstrap"},
		third:  []string{"github.com/spf13/cobra"},
		reason: "Flags, signals and exit codes. The work behind them is in the app and is tested there.",
	},
	{
		pkg: "examples/quickstart", layer: 8,
		ours:   []string{"internal/processes"},
		reason: "An example uses only the binary and its files, as a user does.",
	},
	{
		pkg: "examples/shop", layer: 8,
		ours:   []string{"breaker", "inprocess"},
		third:  []string{"github.com/jackc/pgx/v5", "github.com/redis/go-redis/v9", "github.com/prometheus/client_golang"},
		reason: "It shows a service as our users write one. It is a module of its own, so that its dependencies are not ours.",
	},
	{
		pkg: "examples/shop/stand", layer: 8,
		ours:   []string{"internal/processes"},
		third:  []string{"github.com/jackc/pgx/v5", "github.com/redis/go-redis/v9"},
		reason: "It runs the shop as a user would, with the binaries and their files.",
	},
	{
		pkg: "examples/shop/demo", layer: 9,
		ours:   []string{"examples/shop/stand", "internal/processes"},
		reason: "It tells a story with a running stand.",
	},
	{
		pkg: "examples/shop/bench", layer: 9,
		ours:   []string{"examples/shop/stand"},
		reason: "It makes calls to a running stand.",
	},
	{
		pkg: "internal/processes", layer: 0,
		reason: "All examples start and stop programs in the same way.",
	},
	{
		pkg: "internal/nearest", layer: 0, pure: true, silent: true,
		reason: "The policy language and the command line both suggest a word for a misspelt one. The answer depends on nothing else.",
	},
	{
		pkg: "internal/golden", layer: 0,
		third:  []string{"github.com/google/go-cmp", "golang.org/x/tools"},
		reason: "Test kit: only tests import it.",
	},
	{
		pkg: "internal/envoybin", layer: 0,
		reason: "Test kit: it finds the real Envoy, and fails the test where there is none.",
	},
	{
		pkg: "internal/testca", layer: 0,
		reason: "Test kit: it signs certificates, and knows nothing of their users.",
	},
	{
		pkg: "internal/guard/guardtest", layer: 6,
		ours:   []string{"internal/guard"},
		third:  []string{grpcGo},
		reason: "Test kit: it connects proxies to a guard, for tests of the services behind the guard.",
	},
	{
		pkg: "internal/typical", layer: 4,
		ours:   []string{"api", "breaker", "outlier", "policy"},
		reason: "Test kit: it makes up one mesh, for the tests of every package that shows one.",
	},
	{
		pkg: "internal/exposition", layer: 0,
		third:  []string{promClient, "github.com/prometheus/client_model", "github.com/prometheus/common"},
		reason: "Test kit: it scrapes metrics, whichever they are.",
	},
	{
		pkg: "internal/markdown", layer: 0,
		reason: "Test kit: it finds the documentation's pages and code blocks, and does not judge them.",
	},
	{
		pkg: "internal/e2e", layer: 13,
		ours: []string{
			"breaker", "outlier", "policy", "wire", "gate", "gate/publisher", "xds", "extproc", "feed", "metrics",
			"internal/driver",
		},
		third:  []string{controlPlaneAPI, grpcGo, protobufGo, rpcStatus, yaml},
		reason: "These are tests of the whole. No package may depend on them.",
	},
	{
		pkg: "internal/archtest", layer: 1,
		ours:   []string{"internal/markdown", "internal/archtest/prose"},
		reason: "It reads the tree as text, so that a tree that does not compile is still checked.",
	},
	{
		pkg: "internal/archtest/prose", layer: 0, pure: true, silent: true,
		reason: "The habits of prose can be read and tried without the tree.",
	},
	{
		pkg: "internal/deploytest", layer: 0,
		reason: "It is a module of its own, so that Kubernetes' schemas are not a dependency of the library. It uses our binary.",
	},
}
