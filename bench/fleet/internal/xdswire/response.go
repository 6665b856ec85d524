package xdswire

import (
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Response is a response of either variant of the protocol. Its slices are parts of the message that was read.
type Response struct {
	TypeURL   []byte
	Nonce     []byte
	Version   []byte // the version of the whole response; only SotW uses it
	Resources []Resource
	Removed   [][]byte // names
}

// Resource is a resource in a response.
type Resource struct {
	Name    []byte
	Version []byte // empty in SotW
	Body    []byte // the resource itself; nil: the response renews the resource and does not repeat it
	TTL     time.Duration
}

// ReadDelta reads a DeltaDiscoveryResponse into r, whose slices it uses again.
func ReadDelta(message []byte, r *Response) error {
	*r = Response{Resources: r.Resources[:0], Removed: r.Removed[:0]}
	return fields(message, func(number protowire.Number, _ uint64, bytes []byte) error {
		switch number {
		case 1:
			r.Version = bytes
		case 2:
			resource, err := readResource(bytes)
			r.Resources = append(r.Resources, resource)
			return err
		case 4:
			r.TypeURL = bytes
		case 5:
			r.Nonce = bytes
		case 6:
			r.Removed = append(r.Removed, bytes)
		}
		return nil
	})
}

// readResource reads an envoy.service.discovery.v3.Resource.
func readResource(message []byte) (r Resource, err error) {
	err = fields(message, func(number protowire.Number, _ uint64, bytes []byte) (err error) {
		switch number {
		case 1:
			r.Version = bytes
		case 2:
			if r.Body, err = text(bytes, 2); r.Body == nil {
				r.Body = []byte{} // an empty resource
			}
		case 3:
			r.Name = bytes
		case 6:
			r.TTL, err = duration(bytes)
		}
		return err
	})
	return r, err
}

func duration(message []byte) (d time.Duration, err error) {
	err = fields(message, func(number protowire.Number, value uint64, _ []byte) error {
		switch number {
		case 1:
			d += time.Duration(value) * time.Second
		case 2:
			d += time.Duration(value)
		}
		return nil
	})
	return d, err
}

// ReadSotw reads a DiscoveryResponse into r, whose slices it uses again.
func ReadSotw(message []byte, r *Response) error {
	*r = Response{Resources: r.Resources[:0], Removed: r.Removed[:0]}
	return fields(message, func(number protowire.Number, _ uint64, bytes []byte) error {
		switch number {
		case 1:
			r.Version = bytes
		case 2:
			resource, err := readAny(bytes)
			r.Resources = append(r.Resources, resource)
			return err
		case 4:
			r.TypeURL = bytes
		case 5:
			r.Nonce = bytes
		}
		return nil
	})
}

// readAny reads a resource of SotW, which has its name in itself: the first field of every type that proxies ask for.
func readAny(message []byte) (r Resource, err error) {
	typeURL, err := text(message, 1)
	if err != nil {
		return r, err
	}
	if r.Body, err = text(message, 2); err != nil {
		return r, err
	}
	if string(typeURL) == wrapped {
		return readResource(r.Body)
	}
	r.Name, err = text(r.Body, 1)
	return r, err
}
