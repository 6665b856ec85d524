package extproc

import (
	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/guard"
	"breakwater.dev/wire"
)

// subject returns the breaker to ask. If each proxy has its own breaker, the attributes have the proxy's id. Proxies
// without a valid id share one breaker. A proxy with an id that its certificate does not allow gets an error.
func (t *target) subject(attributes map[string]*structpb.Struct, peer *guard.Peer) (breaker.Subject, error) {
	s := breaker.Subject{Key: t.key}
	if !t.perNode {
		return s, nil
	}
	id := attributes[wire.ExtProcFilter].GetFields()[wire.NodeIDAttribute].GetStringValue()
	if !wire.ValidNodeID(id) {
		return s, nil
	}
	if err := peer.AdmitCall(id); err != nil {
		return s, err
	}
	s.Key.Node, s.Owner = id, peer.Name()
	return s, nil
}
