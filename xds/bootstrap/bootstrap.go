package bootstrap

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"path"
	"strings"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	overloadv3 "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	connectionsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/wire"
	"breakwater.dev/xds/internal/connect"
	"breakwater.dev/xds/internal/message"
)

const (
	// runtimeWait is how long a proxy that starts waits for its runtime layers, all together.
	runtimeWait = time.Second
	// maxDownstreamConnections is how many connections applications may have. It fits into a usual limit of 65,536 file
	// descriptors, together with as many connections to upstreams as policies tend to allow.
	maxDownstreamConnections = 32_768
)

// Options determine a proxy's bootstrap. The first four, and Admin or AdminSocket, must be given.
type Options struct {
	NodeID      string         // unique in the mesh
	NodeCluster string         // the workload that the proxy belongs to
	XDS         []string       // the control plane: host:port of each replica, or of a name with an address for each
	Listen      netip.AddrPort // where applications send to
	Admin       netip.AddrPort // Envoy's admin interface; it has no authentication
	AdminSocket string         // a Unix socket for the admin interface, in place of Admin; only its owner may use it
	Ready       netip.AddrPort // where GET /ready reports whether Listen accepts connections; zero: nowhere
	Upstreams   []string       // names of the upstreams to get; empty: all
	TLS         *TLS           // nil: plain text to the control plane
}

// YAML prints a complete Envoy bootstrap. Options that cannot work are an error that names each of them. With
// [TLS.Directory] the bootstrap needs the files of [Secrets] beside it.
func YAML(o Options) ([]byte, error) {
	b, err := New(o)
	if err != nil {
		return nil, err
	}
	return message.YAML([]proto.Message{b})
}

// New returns the bootstrap that [YAML] prints.
func New(o Options) (*bootstrapv3.Bootstrap, error) {
	b, err := o.bootstrap()
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	return b, nil
}

func (o Options) bootstrap() (*bootstrapv3.Bootstrap, error) {
	hosts, err := o.check()
	if err != nil {
		return nil, err
	}
	node, err := o.Node()
	if err != nil {
		return nil, err
	}
	cluster, err := o.controlPlane(hosts)
	if err != nil {
		return nil, err
	}
	overload, err := overloadManager()
	if err != nil {
		return nil, err
	}
	runtime, err := o.layeredRuntime()
	if err != nil {
		return nil, err
	}
	b := &bootstrapv3.Bootstrap{
		Node:            node,
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{Clusters: []*clusterv3.Cluster{cluster}},
		DynamicResources: &bootstrapv3.Bootstrap_DynamicResources{
			LdsConfig: connect.OverADS(), CdsConfig: connect.OverADS(), AdsConfig: controlPlaneStream(mayBeReplicas(hosts)),
		},
		LayeredRuntime:  runtime,
		Admin:           o.admin(),
		OverloadManager: overload,
	}
	if o.Ready.IsValid() {
		if err := addReadiness(b.StaticResources, o.Listen, o.Ready); err != nil {
			return nil, err
		}
	}
	if err := b.ValidateAll(); err != nil {
		return nil, err
	}
	return b, nil
}

func (o Options) admin() *bootstrapv3.Admin {
	at := connect.Address(o.Admin)
	if o.AdminSocket != "" {
		at = &corev3.Address{Address: &corev3.Address_Pipe{Pipe: &corev3.Pipe{Path: o.AdminSocket, Mode: 0o600}}}
	}
	return &bootstrapv3.Admin{Address: at, IgnoreGlobalConnLimit: true}
}

// check returns the hosts of the control plane, or all that is wrong with the options.
func (o Options) check() ([]connect.Host, error) {
	var problems []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	require(o.NodeID != "", "the node needs an id")
	require(o.NodeID == "" || wire.ValidNodeID(o.NodeID), "the node id %.40q must be printable and have at most %d bytes", o.NodeID, wire.MaxNodeID)
	require(o.NodeCluster != "", "the node needs a cluster")
	require(len(o.NodeCluster) <= wire.MaxNodeID, "the cluster of the node, %.40q, must have at most %d bytes", o.NodeCluster, wire.MaxNodeID)
	hosts, wrong := controlPlaneHosts(o.XDS)
	problems = append(problems, wrong...)
	require(o.Listen.IsValid() && o.Listen.Port() > 0, "the listening address %q is not ip:port", o.Listen)
	if o.AdminSocket == "" {
		require(o.Admin.IsValid() && o.Admin.Port() > 0, "the admin address %q is not ip:port", o.Admin)
		require(!o.Listen.IsValid() || o.Listen != o.Admin, "the listening and the admin address are both %s", o.Listen)
	} else {
		require(path.IsAbs(o.AdminSocket), "the admin socket %q is not an absolute path", o.AdminSocket)
	}
	if o.Ready.IsValid() {
		require(o.Ready.Port() > 0, "the readiness address %q is not ip:port", o.Ready)
		require(o.Ready != o.Listen, "the listening and the readiness address are both %s", o.Ready)
		require(o.AdminSocket != "" || o.Ready != o.Admin, "the admin and the readiness address are both %s", o.Ready)
	}
	for _, u := range o.Upstreams {
		require(u != "" && strings.TrimSpace(u) == u, "%q is not the name of an upstream", u)
	}
	if o.TLS != nil {
		require((o.TLS.CertFile == "") == (o.TLS.KeyFile == ""), "a certificate needs its key, and a key its certificate")
		require(o.TLS.Directory == "" || path.IsAbs(o.TLS.Directory), "the directory of secrets %q is not an absolute path", o.TLS.Directory)
	}
	return hosts, errors.Join(problems...)
}

// Node returns how the proxy introduces itself.
func (o Options) Node() (*corev3.Node, error) {
	metadata := map[string]any{wire.MetadataListen: o.Listen.String()}
	if len(o.Upstreams) > 0 {
		names := make([]any, len(o.Upstreams))
		for i, u := range o.Upstreams {
			names[i] = u
		}
		metadata[wire.MetadataUpstreams] = names
	}
	fields, err := structpb.NewStruct(metadata)
	if err != nil {
		return nil, fmt.Errorf("node metadata: %w", err)
	}
	return &corev3.Node{Id: o.NodeID, Cluster: o.NodeCluster, Metadata: fields}, nil
}

// layeredRuntime returns the parts of the control plane's layer, above the keys that stay. They come over the stream by which
// all resources come: a stream for each would be too many. There is no layer for the admin interface, which could only
// be above them: any process that reaches the interface could open or close breakers there.
func (o Options) layeredRuntime() (*bootstrapv3.LayeredRuntime, error) {
	var layers []*bootstrapv3.RuntimeLayer
	static := func(name, key string, value uint32) error {
		values, err := structpb.NewStruct(map[string]any{key: value})
		if err != nil {
			return fmt.Errorf("runtime: %w", err)
		}
		layers = append(layers, &bootstrapv3.RuntimeLayer{
			Name: name, LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: values},
		})
		return nil
	}
	if o.Listen.Addr().IsLoopback() {
		if err := static("trusted", prematureResets, math.MaxUint32); err != nil {
			return nil, err
		}
	}
	if o.Ready.IsValid() {
		if err := static("readiness", readinessLimit, ReadinessConnections); err != nil {
			return nil, err
		}
	}
	for part := range wire.RuntimeParts {
		source := connect.OverADS()
		source.InitialFetchTimeout = durationpb.New(runtimeWait)
		name := wire.RuntimePart(part)
		layers = append(layers, &bootstrapv3.RuntimeLayer{
			Name:           name,
			LayerSpecifier: &bootstrapv3.RuntimeLayer_RtdsLayer_{RtdsLayer: &bootstrapv3.RuntimeLayer_RtdsLayer{Name: name, RtdsConfig: source}},
		})
	}
	return &bootstrapv3.LayeredRuntime{Layers: layers}, nil
}

// prematureResets is the key of the number of requests from which on Envoy closes an HTTP/2 connection when half of them
// are reset within a second and without a response (CVE-2023-44487). An attacker does that, and so does an application
// whose callers give up while a service hangs: its requests to all other services on the connection would end too. Only
// the application reaches a proxy on loopback, so the number is not limited there. The readiness listener, which others
// reach, speaks HTTP/1 only.
const prematureResets = "overload.premature_reset_total_stream_count"

// overloadManager refuses connections of applications before file descriptors run out, which would hit the connections to
// upstreams and to the control plane too.
func overloadManager() (*overloadv3.OverloadManager, error) {
	limit, err := message.Pack(&connectionsv3.DownstreamConnectionsConfig{
		MaxActiveDownstreamConnections: maxDownstreamConnections,
	})
	if err != nil {
		return nil, err
	}
	return &overloadv3.OverloadManager{ResourceMonitors: []*overloadv3.ResourceMonitor{{
		Name:       "envoy.resource_monitors.global_downstream_max_connections",
		ConfigType: &overloadv3.ResourceMonitor_TypedConfig{TypedConfig: limit},
	}}}, nil
}
