package xds

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/envoybin"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds/bootstrap"
	"breakwater.dev/xds/internal/message"
)

// validate asks a real Envoy whether it would take a bootstrap.
func validate(t *testing.T, b *bootstrapv3.Bootstrap) {
	t.Helper()
	path, text := writeBootstrap(t, b)
	cmd := exec.CommandContext(t.Context(), envoybin.Path(t), "--mode", "validate", "-l", "warning", "-c", path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("Envoy refuses it: %v\n%s\n%s", err, out, text)
	}
	if len(out) > 0 && string(out) != "configuration '"+path+"' OK\n" {
		t.Errorf("Envoy warns:\n%s", out)
	}
}

func writeBootstrap(t *testing.T, b *bootstrapv3.Bootstrap) (path string, text []byte) {
	t.Helper()
	text, err := message.YAML([]proto.Message{b})
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, text
}

// proxyOptions returns the options of a proxy whose applications send to the usual port.
func proxyOptions() bootstrap.Options {
	return bootstrap.Options{
		NodeID:      "app-1",
		NodeCluster: "app",
		XDS:         []string{"127.0.0.1:18000"},
		Listen:      DefaultListen,
		Admin:       netip.MustParseAddrPort("127.0.0.1:9901"),
	}
}

// routeHeader is how a static bootstrap says which route a response came by.
const routeHeader = "x-route"

// staticTrust has a cluster take its secret from the bootstrap.
func staticTrust(t *testing.T, c *clusterv3.Cluster) {
	t.Helper()
	if c.TransportSocket == nil {
		return
	}
	context := new(tlsv3.UpstreamTlsContext)
	if err := c.TransportSocket.GetTypedConfig().UnmarshalTo(context); err != nil {
		t.Fatal(err)
	}
	context.CommonTlsContext.GetCombinedValidationContext().ValidationContextSdsSecretConfig.SdsConfig = nil
	packed, err := message.Pack(context)
	if err != nil {
		t.Fatal(err)
	}
	c.TransportSocket.ConfigType = &corev3.TransportSocket_TypedConfig{TypedConfig: packed}
}

// keepStatic leaves out what a proxy gets from the control plane.
func keepStatic(b *bootstrapv3.Bootstrap) {
	b.DynamicResources = nil
	b.LayeredRuntime.Layers = slices.DeleteFunc(b.LayeredRuntime.Layers, func(l *bootstrapv3.RuntimeLayer) bool { return l.GetRtdsLayer() != nil })
}

// static puts resources into a bootstrap, in place of the streams they would come by.
func static(t *testing.T, rs Resources) *bootstrapv3.Bootstrap {
	t.Helper()
	b, err := bootstrap.New(proxyOptions())
	if err != nil {
		t.Fatal(err)
	}
	keepStatic(b)
	for _, r := range rs[ClusterType].All() {
		c := r.Message().(*clusterv3.Cluster)
		if endpoints := rs.find(EndpointType, r.Name); endpoints != nil {
			c.ClusterDiscoveryType, c.EdsClusterConfig = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, nil
			c.LoadAssignment = endpoints.Message().(*endpointv3.ClusterLoadAssignment)
		}
		staticTrust(t, c)
		b.StaticResources.Clusters = append(b.StaticResources.Clusters, c)
	}
	for _, r := range rs[SecretType].All() {
		b.StaticResources.Secrets = append(b.StaticResources.Secrets, r.Message().(*tlsv3.Secret))
	}
	l := rs.find(ListenerType, wire.EgressName).Message().(*listenerv3.Listener)
	filter := l.GetFilterChains()[0].GetFilters()[0]
	manager := new(hcmv3.HttpConnectionManager)
	if err := filter.GetTypedConfig().UnmarshalTo(manager); err != nil {
		t.Fatal(err)
	}
	routes := WholeRoutes(rs[VirtualHostType]).Find(wire.RoutesName).Message().(*routev3.RouteConfiguration)
	routes.ResponseHeadersToAdd = []*corev3.HeaderValueOption{{Header: &corev3.HeaderValue{Key: routeHeader, Value: "%ROUTE_NAME%"}}}
	manager.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes}
	packed, err := message.Pack(manager)
	if err != nil {
		t.Fatal(err)
	}
	filter.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed}
	b.StaticResources.Listeners = append(b.StaticResources.Listeners, l)
	for _, r := range rs[ListenerType].All() {
		if r.Name != wire.EgressName {
			b.StaticResources.Listeners = append(b.StaticResources.Listeners, r.Message().(*listenerv3.Listener))
		}
	}
	return b
}

// validateSet validates all resources of a set. Envoy reads the CA files, so an existing file replaces them.
func validateSet(t *testing.T, set *policy.Set) {
	t.Helper()
	ca := certificate(t).certFile
	local := *set
	local.Upstreams = nil
	for _, u := range set.Upstreams {
		clone := *u
		if u.TLS != nil {
			clone.TLS = &policy.TLS{SNI: u.TLS.SNI, CAFile: ca}
		}
		local.Upstreams = append(local.Upstreams, &clone)
	}
	validate(t, static(t, translate(t, &local)))
}

type keyPair struct{ certFile, keyFile string }

// certificate makes a certificate that signs itself.
func certificate(t *testing.T) keyPair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	pair := keyPair{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	writePEM(t, pair.certFile, "CERTIFICATE", cert)
	writePEM(t, pair.keyFile, "PRIVATE KEY", private)
	return pair
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestEnvoyTakesEveryFeature, also of an upstream that has a listener of its own.
func TestEnvoyTakesEveryFeature(t *testing.T) {
	set := sampleSet()
	guard := func(name string) *policy.Breaker {
		spec := breaker.Spec{Key: breaker.Key{Upstream: name}, Config: breaker.DefaultConfig()}
		return &policy.Breaker{Spec: spec, DataPath: policy.Adaptive, Classify: &policy.Classifier{}}
	}
	db := webUpstream("db", 5432, policy.TCP, policy.Route{Timeout: time.Second, Breaker: guard("db")})
	db.Hosts, db.Port, db.TLS = nil, refusingPort(t), &policy.TLS{SNI: "db.example"}
	web := webUpstream("web", 80, policy.HTTP1, policy.Route{Timeout: time.Second, IdleTimeout: time.Second, ResponseHeaderTimeout: time.Second})
	for _, f := range fallbacks() {
		b := guard("web")
		if b.Fallback = f; f.Upstream != nil {
			b.Fallback.Upstream = &policy.FallbackUpstream{Name: "search", Host: "search"}
		}
		web.Routes[0].Breaker = b
		all := *set
		all.Upstreams = append([]*policy.Upstream{db}, append(slices.Clone(set.Upstreams), web)...) // sorted
		validateSet(t, &all)
	}
}

func TestEnvoyTakesTheEmptySet(t *testing.T) { validateSet(t, &policy.Set{}) }

// A check that cannot fail is worth nothing.
func TestEnvoyRefusesABrokenBootstrap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(path, []byte("static_resources: {clusters: [{name: a, type: EDS}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), envoybin.Path(t), "--mode", "validate", "-c", path).CombinedOutput()
	if err == nil {
		t.Errorf("Envoy took a cluster without its discovery:\n%s", out)
	}
}
