package protocol

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"

	"breakwater.dev/internal/untrusted"
	"breakwater.dev/xds/discovery/internal/message"
)

// Kind is a variant of the xDS protocol.
type Kind uint8

// The variants.
const (
	// Delta is incremental xDS: a response holds what changed.
	Delta Kind = iota
	// Sotw is state-of-the-world xDS: a response holds everything of its type that the proxy asked for.
	Sotw
)

// Stream is one gRPC stream to a proxy, in one of the variants.
type Stream interface {
	Kind() Kind
	// Recv waits for the next request.
	Recv() (Request, error)
	// Send sends a response that a [Subscription] of the same kind made.
	Send(*message.Response) error
}

// Request is one message of a proxy, in either variant.
type Request struct {
	Node    *corev3.Node // introduces the proxy; later requests of a stream may leave it out
	TypeURL string
	Nonce   string            // names the response that the request answers; empty: none
	Refused *rpcstatus.Status // why the proxy refused that response; nil: it took it

	change change
}

// change is the part of a request that changes a subscription.
type change interface {
	// apply changes s. The first request for a type also lists the resources that the proxy has from an earlier stream.
	apply(s *Subscription, first bool)
	// size returns the number of names in the request.
	size() int
}

// refusal returns the message of a NACK. It is empty for every other request.
func (r Request) refusal() string {
	if r.Refused == nil {
		return ""
	}
	return fmt.Sprintf("%s (code %d)", untrusted.Message(r.Refused.GetMessage()), r.Refused.GetCode())
}

// maxVersion is the longest version of a resource that is remembered, in bytes. Our versions are shorter.
const maxVersion = 64

// claimed returns the version that a proxy says it has. It returns "", which is no version of ours, for one that is
// too long to be ours.
func claimed(version string) string {
	if len(version) > maxVersion {
		return ""
	}
	return version
}
