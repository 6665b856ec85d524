package xdswire

import (
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

// Request is a request of either variant of the protocol.
type Request struct {
	Node    []byte // a packed envoy.config.core.v3.Node; only the first request of a stream has one
	TypeURL string
	// Names are those to subscribe to in delta, and all that the proxy wants in SotW.
	Names       []string
	Unsubscribe []string                  // delta
	Initial     iter.Seq2[string, string] // delta: names and versions that the proxy has from an earlier stream
	Version     string                    // SotW: the version of the last response that was taken
	Nonce       string                    // the nonce of the response that is answered; empty: none
	Refusal     string                    // why that response is refused; empty: it is taken
}

// Delta returns a DeltaDiscoveryRequest.
func (r *Request) Delta() []byte {
	b := make([]byte, 0, 64+len(r.Node)+len(r.TypeURL))
	if r.Node != nil {
		b = appendBytes(b, 1, r.Node)
	}
	b = appendText(b, 2, r.TypeURL)
	for _, name := range r.Names {
		b = appendText(b, 3, name)
	}
	for _, name := range r.Unsubscribe {
		b = appendText(b, 4, name)
	}
	if r.Initial != nil {
		for name, version := range r.Initial {
			b = protowire.AppendTag(b, 5, protowire.BytesType)
			b = protowire.AppendVarint(b, uint64(2+protowire.SizeBytes(len(name))+protowire.SizeBytes(len(version))))
			b = appendText(b, 1, name)
			b = appendText(b, 2, version)
		}
	}
	if r.Nonce != "" {
		b = appendText(b, 6, r.Nonce)
	}
	if r.Refusal != "" {
		b = appendBytes(b, 7, status(r.Refusal))
	}
	return b
}

// Sotw returns a DiscoveryRequest.
func (r *Request) Sotw() []byte {
	b := make([]byte, 0, 64+len(r.Node)+len(r.TypeURL))
	if r.Version != "" {
		b = appendText(b, 1, r.Version)
	}
	if r.Node != nil {
		b = appendBytes(b, 2, r.Node)
	}
	for _, name := range r.Names {
		b = appendText(b, 3, name)
	}
	b = appendText(b, 4, r.TypeURL)
	if r.Nonce != "" {
		b = appendText(b, 5, r.Nonce)
	}
	if r.Refusal != "" {
		b = appendBytes(b, 6, status(r.Refusal))
	}
	return b
}

// status returns a google.rpc.Status with the code INTERNAL, as Envoy's refusals have it.
func status(message string) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 13)
	return appendText(b, 2, message)
}

func appendText(b []byte, number protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), text)
}

func appendBytes(b []byte, number protowire.Number, bytes []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), bytes)
}
