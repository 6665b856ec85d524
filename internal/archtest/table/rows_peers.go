package table

// peersRows are the rows of the packages by which replicas share their breakers.
var peersRows = []Row{
	{
		Pkg: "peers/internal/peerspb", Layer: 5,
		Third:  []string{grpcGo, protobufGo},
		Reason: "It is generated from the messages between replicas, and knows nothing else.",
	},
	{
		Pkg: "peers/internal/places", Layer: 2, Pure: true, Silent: true,
		Ours:      []string{"breaker"},
		Third:     []string{"github.com/dgryski/go-rendezvous", "github.com/cespare/xxhash/v2"},
		TestThird: []string{"pgregory.net/rapid"},
		Reason:    "Where a breaker is follows from the replicas that one replica knows, and from nothing else.",
	},
	{
		Pkg: "peers/internal/outbox", Layer: 2, Pure: true, Silent: true,
		Ours:      []string{"breaker"},
		TestThird: []string{"pgregory.net/rapid"},
		Reason:    "Which reports are sent again, and which are counted, can be tried without a network.",
	},
	{
		Pkg: "peers/internal/convert", Layer: 6, Pure: true, Silent: true,
		Ours:      []string{"breaker", "peers/internal/outbox", "peers/internal/peerspb"},
		TestThird: []string{"pgregory.net/rapid", "github.com/google/go-cmp", protobufGo},
		Reason:    "Ages in messages become instants in one place.",
	},
	{
		Pkg: "peers/internal/calls", Layer: 3,
		Ours:      []string{"breaker", "internal/lockorder", "peers/internal/outbox"},
		TestThird: []string{"pgregory.net/rapid", "github.com/google/go-cmp"},
		Reason:    "What becomes of a call whose breaker is elsewhere does not depend on where it is.",
	},
	{
		Pkg: "peers/internal/roster", Layer: 6, Pure: true, Silent: true,
		Ours:      []string{"breaker", "membership", "peers/internal/peerspb", "peers/internal/places"},
		TestThird: []string{"pgregory.net/rapid", "github.com/google/go-cmp"},
		Reason:    "Whether a replica surely is a member follows from views, beats and times, and from no breaker.",
	},
	{
		Pkg: "peers/internal/sampling", Layer: 2, Pure: true, Silent: true,
		Ours:   []string{"breaker"},
		Reason: "Which runs of failures are certain follows from the reports, and from nothing else.",
	},
	{
		Pkg: "peers/internal/turns", Layer: 2, Pure: true, Silent: true,
		Ours:   []string{"breaker"},
		Reason: "Whose turn it is follows from the replicas that want calls, and from nothing else.",
	},
	{
		Pkg: "peers/internal/core", Layer: 7,
		Ours:   []string{"breaker", "membership", "peers/internal/convert", "peers/internal/outbox", "peers/internal/peerspb", "peers/internal/places", "peers/internal/roster", "peers/internal/sampling", "peers/internal/turns"},
		Third:  []string{"github.com/cespare/xxhash/v2"},
		Reason: "Where breakers are, and how they get from one replica to another, can be read without the calls that ask for permits.",
	},
	{
		Pkg: "peers", Layer: 8,
		Ours:      []string{"breaker", "internal/lockorder", "membership", "peers/internal/calls", "peers/internal/convert", "peers/internal/core", "peers/internal/outbox", "peers/internal/peerspb", "peers/internal/sampling"},
		TestOurs:  []string{"membership/quorum", "peers/internal/places", "peers/internal/roster"},
		Third:     []string{promClient},
		TestThird: []string{protobufGo, "pgregory.net/rapid"},
		Reason:    "It has the protocol without a clock and without a network, so that a test can try thousands of histories.",
	},
	{
		Pkg: "internal/replicas", Layer: 11,
		Ours:     []string{"breaker", "instant", "internal/driver", "internal/guard", "membership", "membership/addresses", "peers", "peers/link", "store/shared"},
		TestOurs: []string{"internal/testca"},
		Third:    []string{grpcGo, promClient},
		Reason:   "It connects the protocol with a clock, a network, a source of members and a store. The app connects it with the rest.",
	},
	{
		Pkg: "peers/link", Layer: 6,
		Ours:   []string{"membership", "peers/internal/peerspb"},
		Third:  []string{grpcGo},
		Reason: "It carries messages, and knows nothing of their meaning.",
	},
}
