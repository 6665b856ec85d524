package replicas

import (
	"context"
	"strings"
	"testing"
	"time"

	"breakwater.dev/membership/addresses"
	"breakwater.dev/store/shared"
)

// TestAddress shows at which address other replicas reach this one, and which addresses cannot be right.
func TestAddress(t *testing.T) {
	for _, tt := range []struct{ listen, replica, want, fault string }{
		{"10.0.0.1:18000", "", "10.0.0.1:18000", ""},
		{"127.0.0.1:18000", "", "127.0.0.1:18000", ""},
		{"[fd00::1]:18000", "", "[fd00::1]:18000", ""},
		{"breakwater-0.mesh:18000", "", "breakwater-0.mesh:18000", ""},
		{":18000", "10.0.0.1:18000", "10.0.0.1:18000", ""},
		{"0.0.0.0:0", "breakwater-0.mesh:443", "breakwater-0.mesh:443", ""},
		{":18000", "", "", "say with --replica-address at which one other replicas reach it, such as $(POD_IP):18000"},
		{"0.0.0.0:18000", "", "", "is all addresses of this host"},
		{"[::]:18000", "", "", "is all addresses of this host"},
		{"10.0.0.1:0", "", "", "other replicas need a port that is known"},
		{"10.0.0.1", "", "", `--xds-listen = "10.0.0.1"; must be host:port`},
		{":18000", "10.0.0.1", "", `--replica-address = "10.0.0.1"; must be host:port`},
	} {
		c := Config{Address: tt.replica}
		got, err := c.address(tt.listen)
		if got != tt.want || (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("--xds-listen %s --replica-address %s: got %q, %v", tt.listen, tt.replica, got, err)
		}
	}
}

// TestEnabled shows which configurations mean that there may be other replicas.
func TestEnabled(t *testing.T) {
	for _, tt := range []struct {
		config Config
		want   bool
	}{
		{Config{}, false},
		{Config{Address: "10.0.0.1:1", ConnectionAge: time.Minute}, false},
		{Config{Store: shared.Options{URL: "redis://10.0.0.9"}}, true},
		{Config{Peers: addresses.Peers{List: []string{"10.0.0.1:1"}}}, true},
		{Config{Peers: addresses.Peers{Name: "breakwater.mesh", Port: "1"}}, true},
	} {
		if got := tt.config.Enabled(); got != tt.want {
			t.Errorf("%+v: got %t, want %t", tt.config, got, tt.want)
		}
	}
}

// TestProcess shows that all replicas of one store have one number for the ids of probes, and replicas of other stores another.
func TestProcess(t *testing.T) {
	a, b := Config{Store: shared.Options{Name: "a", URL: "redis://10.0.0.8"}}, Config{Store: shared.Options{Name: "b"}}
	same := Config{Store: shared.Options{Name: "a"}}
	if a.Process() != same.Process() || a.Process() == b.Process() {
		t.Errorf("the numbers are %d, %d and %d", a.Process(), same.Process(), b.Process())
	}
}

// TestAwait shows which streams wait until this replica knows the breakers of the others: a proxy's stream waits, and a replica's does not.
func TestAwait(t *testing.T) {
	const proxies, replicas = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources", "/breakwater.peers.v1.Peers/Tell"
	over, cancel := context.WithCancel(t.Context())
	cancel()
	waiting, ready := &Group{ready: make(chan struct{})}, &Group{ready: make(chan struct{})}
	close(ready.ready)
	for _, tt := range []struct {
		name, method string
		group        *Group
		ctx          context.Context
		goesOn       bool
	}{
		{"a proxy that leaves meanwhile", proxies, waiting, over, false},
		{"a replica", replicas, waiting, over, true},
		{"a proxy, when it is ready", proxies, ready, t.Context(), true},
	} {
		if err := tt.group.Await(tt.ctx, tt.method); (err == nil) != tt.goesOn {
			t.Errorf("%s: error %v; it should go on: %t", tt.name, err, tt.goesOn)
		}
	}
}

// TestNonces shows that texts and numbers that have to be random are not the same twice, and that there is room above the numbers.
func TestNonces(t *testing.T) {
	seen := map[any]bool{}
	for range 100 {
		n, r := nonce(), random()
		if len(n) != 16 || seen[n] || seen[r] || r>>56 != 0 {
			t.Fatalf("got %q and %d", n, r)
		}
		seen[n], seen[r] = true, true
	}
}
