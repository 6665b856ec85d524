package alslog

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed is the error of a message that does not have the structure of an access log message.
var ErrMalformed = errors.New("malformed access log message")

// errStopped stops the reading of a list when the caller has left the loop over it.
var errStopped = errors.New("stopped")

// fields calls visit for each field of a message. The value of a varint field is in n, the value of a
// length-delimited field in b, which is nil for a varint. Fields of other kinds are skipped.
func fields(m []byte, visit func(number protowire.Number, n uint64, b []byte) error) error {
	for len(m) > 0 {
		tag, size := uint64(m[0]), 1
		if tag >= 0x80 { // only numbers above 15 take more than one byte
			tag, size = protowire.ConsumeVarint(m)
		}
		number, kind := protowire.DecodeTag(tag)
		if size < 0 || number < protowire.MinValidNumber {
			return ErrMalformed
		}
		m = m[size:]
		var n uint64
		var b []byte
		switch kind {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(m)
		case protowire.BytesType:
			b, size = protowire.ConsumeBytes(m)
		default:
			size = protowire.ConsumeFieldValue(number, kind, m)
		}
		if size < 0 {
			return ErrMalformed
		}
		m = m[size:]
		if kind != protowire.VarintType && kind != protowire.BytesType {
			continue
		}
		if err := visit(number, n, b); err != nil {
			return err
		}
	}
	return nil
}

// texts calls visit for each length-delimited field. A field that has the number of a known field but another
// kind is unknown, as it is to generated types.
func texts(m []byte, visit func(number protowire.Number, b []byte) error) error {
	return fields(m, func(number protowire.Number, _ uint64, b []byte) error {
		if b == nil {
			return nil
		}
		return visit(number, b)
	})
}

// numbers calls visit for each varint field.
func numbers(m []byte, visit func(number protowire.Number, n uint64) error) error {
	return fields(m, func(number protowire.Number, n uint64, b []byte) error {
		if b != nil {
			return nil
		}
		return visit(number, n)
	})
}

// readPair reads an entry of a map. The value is never nil: a missing value is empty.
func readPair(data []byte) (key, value []byte, err error) {
	err = texts(data, func(number protowire.Number, b []byte) error {
		switch number {
		case 1:
			key = b
		case 2:
			value = b
		}
		return nil
	})
	if value == nil {
		value = []byte{}
	}
	return key, value, err
}

// valuesOf calls visit for each value that a key has in a message whose first field is a map.
func valuesOf(key string, m []byte, visit func(value []byte) error) error {
	return texts(m, func(number protowire.Number, b []byte) error {
		if number != 1 {
			return nil
		}
		k, value, err := readPair(b)
		if err != nil || string(k) != key {
			return err
		}
		return visit(value)
	})
}
