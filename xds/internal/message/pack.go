package message

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// TypeURL returns the URL of a message's type, by which Envoy knows it.
func TypeURL(m proto.Message) string {
	return "type.googleapis.com/" + string(m.ProtoReflect().Descriptor().FullName())
}

// Valid is a message that can be validated, as all messages of Envoy's API can.
type Valid interface {
	proto.Message
	ValidateAll() error
}

// Pack validates m and marshals it with its map entries in order, so that it always has the same bytes. The validation
// of a message does not look into the messages that are packed in it.
func Pack(m Valid) (*anypb.Any, error) {
	if err := m.ValidateAll(); err != nil {
		return nil, fmt.Errorf("packing %s: %w", TypeURL(m), err)
	}
	packed := new(anypb.Any)
	if err := anypb.MarshalFrom(packed, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		return nil, fmt.Errorf("packing %s: %w", TypeURL(m), err)
	}
	return packed, nil
}
