package message

import (
	"errors"
	"fmt"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/xds/internal/resource"
)

// DeltaRequest is a DeltaDiscoveryRequest. When thousands of proxies come back at once, each lists thousands of resources. So the
// names and versions are parts of one string, which has the whole message. A name that is kept must be a copy. Fields that no
// subscription needs are not here.
type DeltaRequest struct {
	Node        *corev3.Node
	Refused     *rpcstatus.Status
	TypeURL     string
	Nonce       string
	Subscribe   []string
	Unsubscribe []string
	Versions    []resource.Version // InitialResourceVersions: the resources that the proxy has
}

// The numbers of the fields of a DeltaDiscoveryRequest, and of an entry of its map.
const (
	requestNode        protowire.Number = 1
	requestTypeURL     protowire.Number = 2
	requestSubscribe   protowire.Number = 3
	requestUnsubscribe protowire.Number = 4
	requestVersions    protowire.Number = 5
	requestNonce       protowire.Number = 6
	requestRefused     protowire.Number = 7

	entryKey   protowire.Number = 1
	entryValue protowire.Number = 2
)

// Unmarshal reads a message. It takes all messages that the generated code takes. It skips fields that are not used here.
func (r *DeltaRequest) Unmarshal(data mem.BufferSlice) error {
	b := data.Materialize()
	m := part{bytes: b, text: string(b)}
	err := m.each(func(number protowire.Number, value part) (err error) {
		switch number {
		case requestNode:
			r.Node, err = merged(r.Node, value)
		case requestRefused:
			r.Refused, err = merged(r.Refused, value)
		case requestTypeURL:
			r.TypeURL, err = value.string()
		case requestNonce:
			r.Nonce, err = value.string()
		case requestSubscribe:
			r.Subscribe, err = value.appendTo(r.Subscribe)
		case requestUnsubscribe:
			r.Unsubscribe, err = value.appendTo(r.Unsubscribe)
		case requestVersions:
			err = r.addVersion(value)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reading a DeltaDiscoveryRequest: %w", err)
	}
	return nil
}

// addVersion reads an entry of the map of versions.
func (r *DeltaRequest) addVersion(entry part) error {
	var v resource.Version
	err := entry.each(func(number protowire.Number, value part) (err error) {
		switch number {
		case entryKey:
			v.Name, err = value.string()
		case entryValue:
			v.Version, err = value.string()
		}
		return err
	})
	r.Versions = append(r.Versions, v)
	return err
}

// merged returns a message with the fields of a marshalled one.
func merged[M any, P interface {
	*M
	proto.Message
}](m P, value part) (P, error) {
	if m == nil {
		m = new(M)
	}
	return m, proto.UnmarshalOptions{Merge: true}.Unmarshal(value.bytes, m)
}

// part is a part of a message, as bytes and as a part of the string.
type part struct {
	bytes []byte
	text  string
}

var errNotUTF8 = errors.New("a string is not valid UTF-8")

func (m part) string() (string, error) {
	if !utf8.ValidString(m.text) {
		return "", errNotUTF8
	}
	return m.text, nil
}

func (m part) appendTo(all []string) ([]string, error) {
	s, err := m.string()
	return append(all, s), err
}

// each calls f for each field that has a length, and skips all other fields.
func (m part) each(f func(protowire.Number, part) error) error {
	for len(m.bytes) > 0 {
		number, kind, n := protowire.ConsumeTag(m.bytes)
		if n < 0 {
			return protowire.ParseError(n)
		}
		size := protowire.ConsumeFieldValue(number, kind, m.bytes[n:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		end := n + size
		if kind == protowire.BytesType {
			value, _ := protowire.ConsumeBytes(m.bytes[n:end])
			if err := f(number, part{value, m.text[end-len(value) : end]}); err != nil {
				return err
			}
		}
		m = part{m.bytes[end:], m.text[end:]}
	}
	return nil
}
