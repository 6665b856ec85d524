// Package peerspb has the messages between replicas. scripts/generate.sh makes it from peers.proto.
//
// In: nothing.
// Out: the types of the messages, and the gRPC service that carries them.
// Called by: the packages of peers.
// Never: is edited by hand.
// Concurrency: a message is for one goroutine at a time.
package peerspb

import (
	_ "google.golang.org/grpc"           // the generated files need it
	_ "google.golang.org/protobuf/proto" // the generated files need it
)
