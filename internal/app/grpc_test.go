package app

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// TestUnknownMethodsCountAsResets shows that a proxy loses its connection when it calls methods that do not exist, all the
// time.
func TestUnknownMethodsCountAsResets(t *testing.T) {
	t.Parallel()
	s := run(t, options(t, good))
	c := s.dial(t, s.authority.client(t, "x", shop))
	const method = "/envoy.service.discovery.v3.AggregatedDiscoveryService/Nothing"
	err := c.Invoke(t.Context(), method, &emptypb.Empty{}, &emptypb.Empty{})
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), method) {
		t.Errorf("%v; want that there is no such method", err)
	}
	eventually(t, "the connection is closed", func() error {
		for range 1_000 { // twice the number that is allowed in a second
			_, _ = c.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, method) // fails when the connection is closed
		}
		if strings.Contains(s.get(t, "/metrics"), `breakwater_proxies_refused_total{reason="resets",service="connection"} 0`) {
			return errors.New("the connection is open")
		}
		return nil
	})
}
