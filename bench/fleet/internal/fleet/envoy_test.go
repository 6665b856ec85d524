package fleet

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/bench/fleet/internal/bootstrap"
	"breakwater.dev/bench/fleet/internal/xdswire"
	"breakwater.dev/internal/envoybin"
)

func overADS() *corev3.ConfigSource {
	return &corev3.ConfigSource{ResourceApiVersion: corev3.ApiVersion_V3, ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
}

func cluster(t *testing.T, name, version string, timeout time.Duration) *discoveryv3.Resource {
	return resource(t, name, version, &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(timeout), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{EdsConfig: overADS()},
	}, 0)
}

func endpoints(t *testing.T, name, version string, port uint32) *discoveryv3.Resource {
	address := &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}
	return resource(t, name, version, &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{
		LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: address}}}},
	}}}, 0)
}

func virtualHost(t *testing.T, name, version string) *discoveryv3.Resource {
	full := "egress/" + name
	return resource(t, full, version, &routev3.VirtualHost{Name: full, Domains: []string{name}, Routes: []*routev3.Route{{
		Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: name}}},
	}}}, 0)
}

func routes(t *testing.T) *discoveryv3.Resource {
	return resource(t, "egress", "1", &routev3.RouteConfiguration{Name: "egress", Vhds: &routev3.Vhds{ConfigSource: overADS()}}, 0)
}

func listener(t *testing.T) *discoveryv3.Resource {
	router, err := anypb.New(&routerv3.Router{})
	if err != nil {
		t.Fatal(err)
	}
	manager, err := anypb.New(&hcmv3.HttpConnectionManager{
		StatPrefix:     "egress",
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: "egress", ConfigSource: overADS()}},
		HttpFilters:    []*hcmv3.HttpFilter{{Name: "envoy.filters.http.router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: router}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return resource(t, "egress", "1", &listenerv3.Listener{
		Name: "egress",
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{},
		}}},
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: "envoy.filters.network.http_connection_manager", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager},
		}}}},
	}, 0)
}

func runtimeLayer(t *testing.T, name, version string, ttl time.Duration, keys ...string) *discoveryv3.Resource {
	fields := map[string]any{}
	for _, key := range keys {
		fields[key] = 1
	}
	layer, err := structpb.NewStruct(fields)
	if err != nil {
		t.Fatal(err)
	}
	return resource(t, name, version, &runtimev3.Runtime{Name: name, Layer: layer}, ttl)
}

// bootstrapOf returns a bootstrap for the control plane at an address, whose runtime layers come over ADS, or each over a
// stream of its own.
func bootstrapOf(t *testing.T, control string, layersOverADS bool, layers ...string) string {
	host, port, err := net.SplitHostPort(control)
	if err != nil {
		t.Fatal(err)
	}
	const service = "transport_api_version: V3, set_node_on_first_message_only: true, api_type: DELTA_GRPC, grpc_services: [{envoy_grpc: {cluster_name: control, " +
		"retry_policy: {retry_back_off: {base_interval: 0.1s, max_interval: 0.2s}}}}]"
	own := "{resource_api_version: V3, initial_fetch_timeout: 10s, api_config_source: {" + service + "}}"
	if layersOverADS {
		own = "{resource_api_version: V3, initial_fetch_timeout: 10s, ads: {}}"
	}
	var runtime strings.Builder
	for _, name := range layers {
		fmt.Fprintf(&runtime, "  - {name: %s, rtds_layer: {name: %s, rtds_config: %s}}\n", name, name, own)
	}
	return fmt.Sprintf(`node: {id: proxy-00000, cluster: fleet}
dynamic_resources:
  ads_config: {%s}
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
layered_runtime:
  layers:
%sstatic_resources:
  clusters:
  - name: control
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: control, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: %s}}}}]}]}
`, service, &runtime, host, port)
}

// startEnvoy runs a real Envoy until the test ends.
func startEnvoy(t *testing.T, bootstrap string) {
	path := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(path, []byte(bootstrap), 0o600); err != nil {
		t.Fatal(err)
	}
	log := new(strings.Builder)
	cmd := exec.Command(envoybin.Path(t), "-c", path, "-l", "warning", "--concurrency", "1", "--disable-hot-restart")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Errorf("stopping Envoy: %v", err)
		}
		_ = cmd.Wait() // says that it was killed
		if t.Failed() {
			t.Logf("Envoy's log:\n%s", log)
		}
	})
}

// startFleet runs one simulated proxy until the test ends.
func startFleet(t *testing.T, address, config string, change func(*Options)) *Fleet {
	b, err := bootstrap.Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Address: address, Bootstrap: b, Proxies: 1}
	if change != nil {
		change(&o)
	}
	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Start()
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// story sends one change after another to a proxy that has a number of streams. It returns the requests that came in each
// step.
func (s *scripted) story(t *testing.T, streams int, start func()) map[string][]string {
	logs := map[string][]string{}
	step := func(name string, nonces ...string) {
		t.Helper()
		for _, nonce := range nonces {
			await(t, name, s.has(nonce))
		}
		await(t, name+": all is answered", s.settled)
		logs[name] = s.log()
	}
	s.put(runtimeLayer(t, "one", "1", time.Hour, "breakwater.a.open"))
	s.put(runtimeLayer(t, "two", "1", 0))
	s.put(cluster(t, "a", "1", time.Second), cluster(t, "b", "1", time.Second))
	s.put(endpoints(t, "a", "1", 1), endpoints(t, "b", "1", 1))
	s.put(listener(t))
	s.put(routes(t))
	s.put(virtualHost(t, "a", "1"), virtualHost(t, "b", "1"))
	start()
	await(t, "all types are asked for", s.askedFor(streams))
	step("1 start")
	step("2 endpoints change", s.put(endpoints(t, "a", "2", 2)))
	// Envoy waits for the endpoints of a cluster that has changed, but does not ask for them.
	clusters := s.put(cluster(t, "a", "2", 2*time.Second))
	await(t, "another type is answered", s.has(s.put(virtualHost(t, "b", "2"))))
	step("3 a cluster changes", s.again(xdswire.Endpoint, endpoints(t, "a", "2", 2)), clusters)
	s.add(endpoints(t, "c", "1", 1))
	step("4 a cluster is new", s.put(cluster(t, "c", "1", time.Second)))
	step("5 a virtual host is new", s.put(virtualHost(t, "c", "1")))
	step("6 a virtual host changes", s.put(virtualHost(t, "c", "2")))
	step("7 a virtual host goes", s.remove(xdswire.VirtualHost, "egress/b"))
	step("8 a cluster goes", s.remove(xdswire.Cluster, "b"))
	step("9 a layer changes", s.put(runtimeLayer(t, "one", "2", time.Hour, "breakwater.a.open", "breakwater.c.open")))
	renewal := runtimeLayer(t, "one", "2", time.Hour)
	renewal.Resource = nil
	step("10 a heartbeat without the layer", s.again(xdswire.Runtime, renewal))
	s.cutAll()
	await(t, "the proxy is back", s.askedFor(streams))
	step("11 the streams were cut")
	return logs
}
