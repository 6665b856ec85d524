package extproc

import (
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/guard"
	"breakwater.dev/wire"
)

// breakerFor returns the breaker to ask. A proxy that does not say who it is, or says
// it in a way that nobody could read, shares the breaker of the key with its like. One that says
// it is another than its certificate lets it be gets an error.
func (r *route) breakerFor(attributes map[string]*structpb.Struct, peer *guard.Peer, now breaker.Instant) (*breaker.Breaker, error) {
	if r.nodes == nil {
		return r.breaker, nil
	}
	id := attributes[wire.ExtProcFilter].GetFields()[wire.NodeIDAttribute].GetStringValue()
	if !wire.ValidNodeID(id) {
		return r.breaker, nil
	}
	if err := peer.AdmitCall(id); err != nil {
		return nil, err
	}
	if b := r.nodes.NodeOf(r.key, id, peer.Name(), now); b != nil {
		return b, nil
	}
	return r.breaker, nil // the policy has just changed, and the engine no longer has the key
}
