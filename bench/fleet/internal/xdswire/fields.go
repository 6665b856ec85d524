package xdswire

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

var errMalformed = errors.New("the message is not protobuf")

// fields calls f with each field of a message. value is set for numbers, and bytes for all that has a length. It stops at
// the first error.
func fields(message []byte, f func(number protowire.Number, value uint64, bytes []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errMalformed
		}
		message = message[n:]
		var value uint64
		var bytes []byte
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return errMalformed
		}
		message = message[n:]
		if err := f(number, value, bytes); err != nil {
			return err
		}
	}
	return nil
}

// below calls f with the bytes of every field that is reached from message by a path of field numbers.
func below(message []byte, path []protowire.Number, f func(bytes []byte)) error {
	if len(path) == 0 {
		f(message)
		return nil
	}
	return fields(message, func(number protowire.Number, _ uint64, bytes []byte) error {
		if number != path[0] || bytes == nil {
			return nil
		}
		return below(bytes, path[1:], f)
	})
}

// text returns the first field of a message that has this number, as bytes; nil: there is none.
func text(message []byte, wanted protowire.Number) (found []byte, err error) {
	err = fields(message, func(number protowire.Number, _ uint64, bytes []byte) error {
		if number == wanted && found == nil {
			found = bytes
		}
		return nil
	})
	return found, err
}
