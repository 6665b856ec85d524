package baseline

import (
	"context"
	"net"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"breakwater.dev/xds"
)

const policies = `apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: payments}
spec: {endpoints: [{address: 127.0.0.1, port: 1}]}
`

// TestServeIdle: a proxy gets its configuration, and an answer to each question.
func TestServeIdle(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- ServeIdle(ctx, policies, address) }()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	config, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	if err := config.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "a", Cluster: "a"}, TypeUrl: xds.ClusterType}); err != nil {
		t.Fatal(err)
	}
	if got, err := config.Recv(); err != nil || len(got.GetResources()) != 1 || got.GetResources()[0].GetName() != "payments" {
		t.Errorf("got clusters %v, error %v", got.GetResources(), err)
	}
	call, err := extprocv3.NewExternalProcessorClient(conn).Process(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := call.Send(&extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{RequestHeaders: &extprocv3.HttpHeaders{}}}); err != nil {
		t.Fatal(err)
	}
	if got, err := call.Recv(); err != nil || got.GetRequestHeaders() == nil {
		t.Errorf("got answer %v, error %v", got, err)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
