package archtest

// row is what one package, or a tree of packages, may import.
type row struct {
	// pkg is a directory; "dir/..." is all directories below it, but not dir.
	pkg string
	// layer orders packages: one imports only those of lower layers, so siblings
	// never import one another and there are no cycles.
	layer int
	// ours are the packages of this module it may import; "dir/..." as in pkg.
	ours []string
	// third are the modules of others it may import.
	third []string
	// pure packages read no clock and start no goroutine: time is an argument.
	pure bool
	// silent packages do no input or output either, and draw no random numbers.
	silent bool
	reason string
}

// Modules of others that several rows share.
const (
	controlPlaneAPI = "github.com/envoyproxy/go-control-plane/envoy"
	grpcGo          = "google.golang.org/grpc"
	protobufGo      = "google.golang.org/protobuf"
	rpcStatus       = "google.golang.org/genproto/googleapis/rpc" // the type of a NACK's message
	yaml            = "go.yaml.in/yaml/v3"
)

// table is who may import whom. Its rules bind files that are not tests; a test
// may import the same, and the test kit.
var table = []row{
	{
		pkg: "breaker", layer: 0, pure: true, silent: true,
		reason: "The state machine is used in process by Go programs: it must cost them no dependency, and be testable without a clock.",
	},
	{
		pkg: "outlier", layer: 0, pure: true, silent: true,
		reason: "It owns Envoy's semantics of ejection, which depend on nothing.",
	},
	{
		pkg: "policy", layer: 2, pure: true,
		ours:   []string{"breaker", "outlier", "wire", "policy/internal/..."},
		third:  []string{yaml},
		reason: "Engines own their Config and its validation, so policy imports them, and refuses the names and ports in wire that proxies use for themselves. Knowing Envoy here would let its terms leak into the language.",
	},
	{
		pkg: "wire", layer: 1, pure: true, silent: true,
		ours:   []string{"breaker"},
		reason: "What we and a proxy agree on is one package, so that those who write it and those who read it cannot drift apart. It knows neither Envoy's messages nor who reads them.",
	},
	{
		pkg: "policy/internal/...", layer: 1, pure: true,
		ours:   []string{"internal/nearest"},
		third:  []string{yaml},
		reason: "Finding files, reading YAML strictly and printing know nothing of policies.",
	},
	{
		pkg: "xds", layer: 4, pure: true,
		ours:   []string{"policy", "breaker", "outlier", "wire", "gate"},
		third:  []string{controlPlaneAPI, grpcGo, protobufGo, yaml},
		reason: "Translation is a pure function of the policy.",
	},
	{
		pkg: "internal/untrusted", layer: 0,
		reason: "Whoever logs or shows what came over the network does it in this one way.",
	},
	{
		pkg: "internal/guard", layer: 2,
		ours:   []string{"internal/untrusted"},
		third:  []string{grpcGo},
		reason: "All services of the port for proxies ask one guard, and it knows none of them.",
	},
	{
		pkg: "xds/discovery", layer: 5,
		ours:   []string{"policy", "xds", "gate", "wire", "internal/guard", "internal/untrusted"},
		third:  []string{controlPlaneAPI, grpcGo, protobufGo, rpcStatus},
		reason: "It sends what xds made of the policy. What it sends or hears reaches others as values, through the app.",
	},
	{
		pkg: "extproc", layer: 3,
		ours:   []string{"policy", "breaker", "wire", "internal/guard"},
		third:  []string{controlPlaneAPI, grpcGo, protobufGo},
		reason: "It asks the engine and answers the proxy; metrics and gates hear of it from the app.",
	},
	{
		pkg: "feed", layer: 3,
		ours:   []string{"policy", "breaker", "outlier", "wire", "internal/guard", "internal/untrusted"},
		third:  []string{controlPlaneAPI, grpcGo, protobufGo},
		reason: "It tells the engine what proxies log. What becomes of that, the gates, reaches proxies by the app.",
	},
	{
		pkg: "gate", layer: 3, pure: true, silent: true,
		ours:   []string{"breaker", "policy", "wire"},
		reason: "What proxies must do for a breaker is a pure function of its state. How that is rendered is up to xds, or to another mesh.",
	},
	{
		pkg: "gate/publisher", layer: 4,
		ours:   []string{"breaker", "policy", "gate", "wire"},
		reason: "When gates are published depends on breakers, the feed and proxies, which it knows by interfaces of its own.",
	},
	{
		pkg: "telemetry", layer: 3,
		ours:   []string{"policy", "breaker", "outlier", "telemetry/internal/..."},
		third:  []string{"github.com/prometheus/client_golang", "github.com/prometheus/client_model", "github.com/prometheus/common"},
		reason: "It shows what it is given. Importing the servers would make every server's change a change of the metrics.",
	},
	{
		pkg: "telemetry/internal/...", layer: 2,
		ours:   []string{"breaker"},
		reason: "Parts of telemetry that know nothing of its pages: the text format, followers, what a request for a change says.",
	},
	{
		pkg: "store", layer: 3,
		ours:   []string{"breaker"},
		reason: "It keeps what it is given. Who asks for it, and when, is the app's business.",
	},
	{
		pkg: "internal/watch", layer: 3,
		third:  []string{"github.com/fsnotify/fsnotify"},
		reason: "It says that files changed, not what they mean.",
	},
	{
		pkg: "internal/driver", layer: 3,
		ours:   []string{"breaker"},
		reason: "The engine has no clock and no goroutine. Whoever runs one, here or in a program of its own, does it in this one way.",
	},
	{
		pkg: "inprocess", layer: 4,
		ours:   []string{"breaker", "policy", "internal/watch", "internal/driver"},
		reason: "A program that wants the breakers has no use for proxies: it must cost it neither gRPC nor Envoy's API.",
	},
	{
		pkg: "internal/app", layer: 6,
		ours:   []string{"breaker", "outlier", "policy", "xds", "xds/discovery", "extproc", "feed", "telemetry", "store", "gate", "gate/publisher", "internal/watch", "internal/driver", "internal/guard", "internal/untrusted", "wire"},
		third:  []string{controlPlaneAPI, grpcGo, protobufGo, "github.com/prometheus/client_golang"},
		reason: "The one place where everything meets, so that nothing else has to.",
	},
	{
		pkg: "cmd/controlplane", layer: 7,
		ours:   []string{"internal/app", "internal/nearest", "policy", "wire", "xds"},
		third:  []string{"github.com/spf13/cobra", "github.com/spf13/pflag", "golang.org/x/sys"},
		reason: "Flags, signals and exit codes; what they start is in the app, and is tested there.",
	},
	{
		pkg: "bench", layer: 7,
		ours:   []string{"breaker", "policy", "telemetry"},
		reason: "It measures what users of the library and Prometheus get. A module of its own, so that peers are no dependencies of ours.",
	},
	{
		pkg: "bench/envoy", layer: 7,
		ours:   []string{"policy", "xds", "xds/discovery"},
		third:  []string{controlPlaneAPI, grpcGo, protobufGo},
		reason: "It measures the binary beside an Envoy whose configuration is the same but for us, and so has to make one.",
	},
	{
		pkg: "examples/quickstart", layer: 7,
		ours:   []string{"internal/processes"},
		reason: "An example uses what a user can: the binary and its files.",
	},
	{
		pkg: "examples/shop", layer: 7,
		ours:   []string{"breaker", "inprocess"},
		third:  []string{"github.com/jackc/pgx/v5", "github.com/redis/go-redis/v9", "github.com/prometheus/client_golang"},
		reason: "What a service of our users looks like. A module of its own, so that what it needs is no dependency of ours.",
	},
	{
		pkg: "examples/shop/stand", layer: 7,
		ours:   []string{"internal/processes"},
		third:  []string{"github.com/jackc/pgx/v5", "github.com/redis/go-redis/v9"},
		reason: "It runs the shop as anybody would: by the binaries and their files.",
	},
	{
		pkg: "examples/shop/demo", layer: 8,
		ours:   []string{"examples/shop/stand", "internal/processes"},
		reason: "A story, told about a stand.",
	},
	{
		pkg: "examples/shop/bench", layer: 8,
		ours:   []string{"examples/shop/stand"},
		reason: "Callers, in front of a stand.",
	},
	{
		pkg: "internal/processes", layer: 0,
		reason: "Examples start and stop the same kinds of programs; how is the same whichever they are.",
	},
	{
		pkg: "internal/nearest", layer: 0, pure: true, silent: true,
		reason: "Two of us ask what somebody meant; the answer depends on nothing.",
	},
	{
		pkg: "internal/golden", layer: 0,
		third:  []string{"github.com/google/go-cmp", "golang.org/x/tools"},
		reason: "Test kit: no package imports it, tests do.",
	},
	{
		pkg: "internal/envoybin", layer: 0,
		reason: "Test kit: it finds the real Envoy, and fails the test where there is none.",
	},
	{
		pkg: "internal/testca", layer: 0,
		reason: "Test kit: it signs certificates, and knows nothing of who uses them.",
	},
	{
		pkg: "internal/guard/guardtest", layer: 3,
		ours:   []string{"internal/guard"},
		third:  []string{grpcGo},
		reason: "Test kit: it connects proxies to a guard, for the services that ask one.",
	},
	{
		pkg: "internal/markdown", layer: 0,
		reason: "Test kit: it finds the documentation's pages and code blocks, and knows nothing of what is in them.",
	},
	{
		pkg: "internal/e2e", layer: 8,
		ours: []string{
			"breaker", "outlier", "policy", "wire", "gate", "gate/publisher", "xds", "extproc", "feed", "telemetry",
			"internal/driver", "internal/app",
		},
		third:  []string{controlPlaneAPI, grpcGo, protobufGo, rpcStatus, yaml},
		reason: "Tests of the whole; nothing may depend on them.",
	},
	{
		pkg: "internal/archtest", layer: 1,
		ours:   []string{"internal/markdown"},
		reason: "It reads the tree as text, so that a tree that does not compile is still checked.",
	},
	{
		pkg: "internal/deploytest", layer: 0,
		reason: "A module of its own, so that Kubernetes' schemas are not a dependency of the library. It knows us by our binary.",
	},
}

// testKit are our packages that every test may import, and no other code.
var testKit = []string{"internal/golden", "internal/envoybin", "internal/markdown", "internal/testca", "internal/guard/guardtest"}

// testLibraries are the modules of others that every test may import.
var testLibraries = []string{
	"github.com/google/go-cmp",
	"go.uber.org/goleak",
	"golang.org/x/tools",
	"pgregory.net/rapid",
}
