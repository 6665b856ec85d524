package protocol

import (
	"fmt"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"

	"breakwater.dev/internal/untrusted"
	"breakwater.dev/xds"
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
	Send(*Response) error
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

// Response is one message to a proxy, in either variant.
type Response struct {
	TypeURL   string
	Nonce     string
	Version   string          // the version of all the resources together, in SotW only
	Resources []*xds.Resource // new, changed and repeated ones
	Removed   []string        // names of resources that no longer exist, sorted, in delta only
	// TTLs says how long the proxy keeps resources if they are not sent again or renewed, by name; others for ever.
	TTLs map[string]time.Duration
	Bare map[string]bool // the names of resources that come without their content, in delta only
}

// Size returns the size of the resources, in bytes, as delta responses have them.
func (r *Response) Size() int {
	size := 0
	for _, resource := range r.Resources {
		if r.Bare[resource.Name] {
			size += len(limited(resource, r.TTLs[resource.Name]))
			continue
		}
		size += resource.Size()
	}
	return size
}

// Memory returns the memory that the response takes until it is sent, in bytes, by estimate. It does not count the content of the
// resources, which all proxies share.
func (r *Response) Memory() int {
	memory := responseMemory + len(r.Resources)*referenceMemory
	for _, name := range r.Removed {
		memory += len(name)
	}
	return memory
}

const (
	responseMemory  = 1024
	referenceMemory = 32
)

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
