package table

import "slices"

// Modules of others that several rows share.
const (
	controlPlaneAPI = "github.com/envoyproxy/go-control-plane/envoy"
	grpcGo          = "google.golang.org/grpc"
	protobufGo      = "google.golang.org/protobuf"
	rpcStatus       = "google.golang.org/genproto/googleapis/rpc" // the type of a NACK's message
	yaml            = "go.yaml.in/yaml/v3"
	goRedis         = "github.com/redis/go-redis/v9"
	promClient      = "github.com/prometheus/client_golang"
)

// Rows say which package may import which. Its rules bind files that are not tests; a test
// may import the same packages, those that its row grants to tests, and the test kit. It is printed in docs/architecture.md.
var Rows = slices.Concat(benchRows, xdsRows, peersRows, otherRows)

var otherRows = []Row{
	{
		Pkg: "instant", Layer: 0, Pure: true, Silent: true,
		Reason: "Both engines count in one kind of time, so that a program can pass both the same reading of its clock.",
	},
	{
		Pkg: "breaker", Layer: 1, Pure: true, Silent: true,
		Ours:   []string{"instant"},
		Reason: "Go programs use the state machine in process. It must cost them no dependency, and be testable without a clock.",
	},
	{
		Pkg: "outlier", Layer: 1, Pure: true, Silent: true,
		Ours:   []string{"instant"},
		Reason: "It owns Envoy's semantics of ejection, which depend on nothing.",
	},
	{
		Pkg: "api", Layer: 0,
		Reason: "Servers put their status into its types, and other programs read them. It must cost neither of them a dependency.",
	},
	{
		Pkg: "policy", Layer: 3, Pure: true, Silent: true,
		Ours:   []string{"breaker", "outlier", "wire", "policy/internal/..."},
		Third:  []string{yaml},
		Reason: "Engines own their Config and its validation, so policy imports them. It refuses the names and ports in wire that proxies use for themselves. Knowing Envoy here would let its terms leak into the language. Knowing where policies are kept would make files the only source.",
	},
	{
		Pkg: "endpoints", Layer: 4, Pure: true, Silent: true,
		Ours:   []string{"policy"},
		Reason: "Endpoints change at another rate than policies, so they are a table beside the compiled set, which any source can fill.",
	},
	{
		Pkg: "wire", Layer: 2, Pure: true, Silent: true,
		Ours:   []string{"breaker"},
		Reason: "The agreements between us and a proxy are in one package, so that their writers and their readers cannot drift apart. It knows neither Envoy's messages nor its own readers.",
	},
	{
		Pkg: "internal/alslog", Layer: 2, Pure: true, Silent: true,
		Third:     []string{protobufGo + "/encoding/protowire"},
		TestThird: []string{controlPlaneAPI, protobufGo},
		Reason:    "It reads Envoy's logs without Envoy's generated types, which are slow. Packages that import it decide what an entry means.",
	},
	{
		Pkg: "policy/internal/...", Layer: 1, Pure: true, Silent: true,
		Ours:   []string{"internal/nearest"},
		Third:  []string{yaml},
		Reason: "These packages read YAML strictly and print values. They know nothing of policies.",
	},
	{
		Pkg: "internal/untrusted", Layer: 0,
		Reason: "Every package that logs or shows text from the network makes it safe in this one way.",
	},
	{
		Pkg: "internal/lockorder", Layer: 0,
		Reason: "The order of the locks of all packages is one list, so it must be below all of them.",
	},
	{
		Pkg: "internal/guard", Layer: 5,
		Ours:   []string{"internal/untrusted"},
		Third:  []string{grpcGo, promClient},
		Reason: "All services on the port for proxies ask one guard, which knows none of them.",
	},
	{
		Pkg: "internal/aging", Layer: 6,
		Ours:   []string{"internal/guard"},
		Third:  []string{grpcGo},
		Reason: "Long streams end in the same way in all services, which need not know why.",
	},
	{
		Pkg: "extproc", Layer: 6,
		Ours:   []string{"policy", "breaker", "wire", "internal/guard", "internal/lockorder"},
		Third:  []string{controlPlaneAPI, grpcGo, protobufGo, promClient},
		Reason: "It asks the engine and answers the proxy. The app gives its results to the metrics and the gates.",
	},
	{
		Pkg: "feed", Layer: 6,
		Ours:      []string{"policy", "breaker", "outlier", "wire", "gate", "feed/internal/backlog", "feed/internal/clock", "feed/internal/entry", "feed/internal/links", "feed/internal/running", "feed/internal/sampling", "feed/internal/suspects", "internal/lockorder", "internal/alslog", "internal/guard", "internal/untrusted"},
		Third:     []string{controlPlaneAPI, grpcGo, promClient},
		TestThird: []string{protobufGo},
		Reason:    "It reports logged calls to the engine. The gates that follow reach the proxies through the app.",
	},
	{
		Pkg: "feed/internal/backlog", Layer: 5, Pure: true,
		Ours:   []string{"breaker"},
		Third:  []string{grpcGo},
		Reason: "What waits, and what is dropped when too much waits, does not depend on what the messages say.",
	},
	{
		Pkg: "feed/internal/entry", Layer: 3, Pure: true, Silent: true,
		Ours:   []string{"breaker", "outlier", "wire", "feed/internal/running", "internal/alslog"},
		Reason: "What an entry means is the same for all breakers, and can be read without the counting around it.",
	},
	{
		Pkg: "feed/internal/clock", Layer: 2, Pure: true, Silent: true,
		Ours:   []string{"instant"},
		Reason: "It translates the clocks of proxies into ours, which can be understood and tested without a log.",
	},
	{
		Pkg: "feed/internal/links", Layer: 5, Pure: true, Silent: true,
		Ours:   []string{"breaker", "gate", "wire", "feed/internal/entry", "internal/alslog"},
		Reason: "How connections are counted depends only on the order of their entries.",
	},
	{
		Pkg: "feed/internal/running", Layer: 2, Pure: true, Silent: true,
		Ours:   []string{"instant"},
		Reason: "Which calls were reported before can be understood and tested without a log, and so can the bounds on them.",
	},
	{
		Pkg: "feed/internal/sampling", Layer: 3, Pure: true, Silent: true,
		Ours:   []string{"breaker", "wire"},
		Reason: "Which sampling follows from which rates can be understood and tested without a log, and so can the weight of an entry.",
	},
	{
		Pkg: "feed/internal/suspects", Layer: 4, Pure: true,
		Ours:   []string{"breaker", "feed/internal/sampling", "internal/lockorder"},
		Reason: "The order of outcomes from many proxies, and what is certain of a run in it, depend on times and outcomes only, and not on logs.",
	},
	{
		Pkg: "gate", Layer: 4, Pure: true, Silent: true,
		Ours:   []string{"breaker", "policy", "wire"},
		Reason: "A breaker's gate is a pure function of its state. Rendering it is the work of xds, or of another mesh.",
	},
	{
		Pkg: "gate/publisher", Layer: 5,
		Ours:   []string{"breaker", "policy", "gate", "wire", "internal/lockorder"},
		Third:  []string{promClient},
		Reason: "When gates are published depends on breakers, the feed and proxies, which it knows by interfaces of its own.",
	},
	{
		Pkg: "internal/logs", Layer: 2,
		Ours:   []string{"api", "breaker", "outlier"},
		Reason: "Its lines say the same about a breaker as the HTTP answers do, in the same words. The app decides which lines there are.",
	},
	{
		Pkg: "metrics", Layer: 4,
		Ours:      []string{"api", "policy", "breaker", "outlier", "metrics/internal/..."},
		Third:     []string{promClient, "github.com/prometheus/common"},
		TestThird: []string{"github.com/prometheus/client_model"},
		Reason:    "It has the metrics of breakers and of loads. Each server describes its own metrics, so that a new figure changes that server alone.",
	},
	{
		Pkg: "metrics/internal/...", Layer: 2,
		Ours:   []string{"breaker", "outlier"},
		Reason: "They write the text format for breakers and for ejections, and know nothing of each other.",
	},
	{
		Pkg: "internal/httpapi", Layer: 4,
		Ours:   []string{"api", "policy", "breaker", "outlier", "internal/httpapi/..."},
		Third:  []string{promClient},
		Reason: "It knows the servers by interfaces of its own. If it imported them, each change of a server would change the pages.",
	},
	{
		Pkg: "internal/httpapi/...", Layer: 2,
		Ours:   []string{"api"},
		Reason: "Parts of the HTTP API that know nothing of its pages: followers, requests for a change by hand.",
	},
	{
		Pkg: "store", Layer: 4,
		Ours:   []string{"breaker", "store/internal/record"},
		Third:  []string{promClient},
		Reason: "It saves the states that it is given, soon after the app says that one has changed.",
	},
	{
		Pkg: "store/internal/record", Layer: 2, Pure: true, Silent: true,
		Ours:   []string{"breaker"},
		Reason: "A state has one form outside of a process, wherever it is kept.",
	},
	{
		Pkg: "store/internal/recordtest", Layer: 3,
		Ours:   []string{"breaker", "store/internal/record"},
		Third:  []string{"pgregory.net/rapid"},
		Reason: "Test kit: all stores are tested with the same states.",
	},
	{
		Pkg: "membership", Layer: 4,
		Ours:   []string{"instant"},
		Reason: "Which replicas there are follows from what a registry says. It knows no registry, so that any store can be one.",
	},
	{
		Pkg: "membership/quorum", Layer: 5, Pure: true, Silent: true,
		Ours:   []string{"instant", "membership"},
		Reason: "Whether a majority agrees follows from messages and times only, so that all histories of both can be tried.",
	},
	{
		Pkg: "membership/addresses", Layer: 6,
		Ours:   []string{"instant", "membership", "membership/quorum"},
		Reason: "It has the clock and the name server that the quorum is without. The app carries its messages.",
	},
	{
		Pkg: "store/shared", Layer: 6,
		Ours:   []string{"breaker", "membership", "internal/untrusted", "store", "store/internal/record", "store/shared/internal/connect"},
		Third:  []string{goRedis, promClient},
		Reason: "It knows what membership and the engine want kept, and neither of them knows where. The app connects them.",
	},
	{
		Pkg: "store/shared/internal/connect", Layer: 5,
		Third:  []string{goRedis},
		Reason: "How the server is reached can be tested without anything in it.",
	},
	{
		Pkg: "sources/files", Layer: 4,
		Ours:   []string{"policy"},
		Third:  []string{"github.com/fsnotify/fsnotify"},
		Reason: "A source finds policies and notices changes. The policy knows their meaning, so other sources can stand beside this one.",
	},
	{
		Pkg: "internal/driver", Layer: 4,
		Ours:   []string{"breaker", "internal/lockorder"},
		Reason: "The engine has no clock and no goroutine. The control plane and Go programs give it both in this one way.",
	},
	{
		Pkg: "inprocess", Layer: 5,
		Ours:   []string{"breaker", "policy", "sources/files", "internal/driver"},
		Reason: "A program that uses the breakers in process has no proxies. It must not have to link gRPC and Envoy's API.",
	},
	{
		Pkg: "internal/handshakes", Layer: 6,
		Ours:   []string{"internal/guard", "internal/untrusted"},
		Third:  []string{grpcGo, promClient},
		Reason: "Failed handshakes of all ports are counted and logged in one way.",
	},
	{
		Pkg: "internal/app", Layer: 12,
		Ours:      []string{"internal/logs", "breaker", "outlier", "policy", "endpoints", "xds/discovery", "extproc", "feed", "metrics", "internal/httpapi", "api", "store", "gate", "gate/publisher", "sources/files", "internal/driver", "internal/aging", "internal/guard", "internal/untrusted", "internal/handshakes", "internal/replicas", "peers", "wire"},
		TestOurs:  []string{"store/shared", "xds"},
		Third:     []string{grpcGo, promClient},
		TestThird: []string{controlPlaneAPI, protobufGo},
		Reason:    "All parts are connected here, so that no part has to know another.",
	},
	{
		Pkg: "internal/cli", Layer: 2,
		Ours:   []string{"api", "internal/nearest"},
		Third:  []string{"golang.org/x/sys"},
		Reason: "It shows the answers of a control plane, which it knows only by the client in api.",
	},
	{
		Pkg: "cmd/controlplane", Layer: 13,
		Ours:   []string{"internal/logs", "api", "internal/app", "internal/cli", "membership/addresses", "policy", "sources/files", "wire", "xds", "xds/bootstrap"},
		Third:  []string{"github.com/spf13/cobra"},
		Reason: "Flags, signals and exit codes. The work behind them is in the app and is tested there.",
	},
	{
		Pkg: "examples/internal/stage", Layer: 7,
		Ours:   []string{"internal/processes"},
		Reason: "Demonstrations start, tell and end in one way.",
	},
	{
		Pkg: "examples/quickstart", Layer: 8,
		Ours:   []string{"examples/internal/stage", "internal/processes"},
		Reason: "An example uses only the binary and its files, as a user does.",
	},
	{
		Pkg: "examples/replicas", Layer: 8,
		Ours:   []string{"api", "examples/internal/stage", "internal/processes"},
		Reason: "An example uses only the binary, its files and its HTTP client, as a user does.",
	},
	{
		Pkg: "examples/shop", Layer: 8,
		Ours:   []string{"breaker", "inprocess"},
		Third:  []string{"github.com/jackc/pgx/v5", goRedis, "github.com/prometheus/client_golang"},
		Reason: "It shows a service as our users write one. It is a module of its own, so that its dependencies are not ours.",
	},
	{
		Pkg: "examples/shop/stand", Layer: 8,
		Ours:   []string{"internal/processes"},
		Third:  []string{"github.com/jackc/pgx/v5", goRedis},
		Reason: "It runs the shop as a user would, with the binaries and their files.",
	},
	{
		Pkg: "examples/shop/demo", Layer: 9,
		Ours:   []string{"examples/shop/stand", "internal/processes"},
		Reason: "It tells a story with a running stand.",
	},
	{
		Pkg: "examples/shop/bench", Layer: 9,
		Ours:   []string{"examples/shop/stand", "internal/processes"},
		Reason: "It makes calls to a running stand.",
	},
	{
		Pkg: "internal/processes", Layer: 0,
		Reason: "All examples start and stop programs in the same way.",
	},
	{
		Pkg: "internal/nearest", Layer: 0, Pure: true, Silent: true,
		Reason: "The policy language and the command line both suggest a word for a misspelt one. The answer depends on nothing else.",
	},
	{
		Pkg: "internal/golden", Layer: 0,
		Third:  []string{"github.com/google/go-cmp", "golang.org/x/tools"},
		Reason: "Test kit: only tests import it.",
	},
	{
		Pkg: "internal/toolbin", Layer: 0,
		Reason: "Test kit: all programs of others are looked for in the same places.",
	},
	{
		Pkg: "internal/envoybin", Layer: 1,
		Ours:   []string{"internal/toolbin"},
		Reason: "Test kit: it finds the real Envoy, and fails the test where there is none.",
	},
	{
		Pkg: "internal/redistest", Layer: 5,
		Ours:   []string{"internal/toolbin"},
		Third:  []string{goRedis},
		Reason: "Test kit: it runs real servers, and breaks them in every way in which they break.",
	},
	{
		Pkg: "internal/testca", Layer: 0,
		Reason: "Test kit: it signs certificates, and knows nothing of their users.",
	},
	{
		Pkg: "internal/guard/guardtest", Layer: 6,
		Ours:   []string{"internal/guard"},
		Third:  []string{grpcGo},
		Reason: "Test kit: it connects proxies to a guard, for tests of the services behind the guard.",
	},
	{
		Pkg: "internal/typical", Layer: 4,
		Ours:   []string{"api", "breaker", "outlier", "policy"},
		Reason: "Test kit: it makes up one mesh, for the tests of every package that shows one.",
	},
	{
		Pkg: "internal/exposition", Layer: 0,
		Third:  []string{promClient, "github.com/prometheus/client_model", "github.com/prometheus/common"},
		Reason: "Test kit: it scrapes metrics, whichever they are.",
	},
	{
		Pkg: "internal/markdown", Layer: 0,
		Reason: "Test kit: it finds the documentation's pages and code blocks, and does not judge them.",
	},
	{
		Pkg: "internal/e2e", Layer: 13,
		Ours:   []string{"api", "breaker", "outlier", "policy", "wire", "gate", "gate/publisher", "xds", "extproc", "feed", "metrics", "internal/driver"},
		Third:  []string{controlPlaneAPI, grpcGo, protobufGo, rpcStatus, yaml, "golang.org/x/net"},
		Reason: "These are tests of the whole. No package may depend on them.",
	},
	{
		Pkg: "internal/archtest", Layer: 1,
		Ours:   []string{"internal/markdown", "internal/archtest/prose", "internal/archtest/table"},
		Reason: "It reads the tree as text, so that a tree that does not compile is still checked.",
	},
	{
		Pkg: "internal/archtest/table", Layer: 0, Pure: true, Silent: true,
		Reason: "The table grows with the tree, and has no code.",
	},
	{
		Pkg: "internal/archtest/prose", Layer: 0, Pure: true, Silent: true,
		Reason: "The habits of prose can be read and tried without the tree.",
	},
	{
		Pkg: "internal/deploytest", Layer: 0,
		Reason: "It is a module of its own, so that Kubernetes' schemas are not a dependency of the library. It uses our binary.",
	},
}
