package feed

import (
	"errors"
	"net/netip"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"breakwater.dev/wire"
)

// errMalformed is the error of a message that is not what its service has.
var errMalformed = errors.New("malformed access log message")

// fields calls visit for each field of a message. A field that is a number has it in n, one
// that is bytes has them in b.
func fields(m []byte, visit func(number protowire.Number, n uint64, b []byte) error) error {
	for len(m) > 0 {
		number, kind, size := protowire.ConsumeTag(m)
		if size < 0 {
			return errMalformed
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
			return errMalformed
		}
		m = m[size:]
		if kind != protowire.VarintType && kind != protowire.BytesType {
			continue // nothing that is read here
		}
		if err := visit(number, n, b); err != nil {
			return err
		}
	}
	return nil
}

// texts are the fields that are bytes. One of another kind under the number of one that is
// read is unknown, as it is to generated types.
func texts(m []byte, visit func(number protowire.Number, b []byte) error) error {
	return fields(m, func(number protowire.Number, _ uint64, b []byte) error {
		if b == nil {
			return nil
		}
		return visit(number, b)
	})
}

// numbers are the fields that are numbers.
func numbers(m []byte, visit func(number protowire.Number, n uint64) error) error {
	return fields(m, func(number protowire.Number, n uint64, b []byte) error {
		if b != nil {
			return nil
		}
		return visit(number, n)
	})
}

// message is what is read of a StreamAccessLogsMessage
// (envoy/service/accesslog/v3/als.proto).
type message struct {
	identified bool
	node, log  []byte
	cluster    []byte // of the node
	http, tcp  []byte // entries, as they came
}

func (m *message) read(data []byte) error {
	*m = message{}
	return texts(data, func(number protowire.Number, b []byte) error {
		switch number {
		case 1:
			m.identified = true
			return m.identify(b)
		case 2:
			m.http, m.tcp = b, nil
		case 3:
			m.http, m.tcp = nil, b
		}
		return nil
	})
}

func (m *message) identify(identifier []byte) error {
	return texts(identifier, func(number protowire.Number, b []byte) error {
		switch number {
		case 1:
			return texts(b, func(number protowire.Number, b []byte) error {
				switch number {
				case 1:
					m.node = b
				case 2:
					m.cluster = b
				}
				return nil
			})
		case 2:
			m.log = b
		}
		return nil
	})
}

// entries calls visit for each entry of a HTTPAccessLogEntries or TCPAccessLogEntries.
func entries(list []byte, visit func(entry []byte) error) error {
	return texts(list, func(number protowire.Number, b []byte) error {
		if number != 1 {
			return nil
		}
		return visit(b)
	})
}

// countEntries is how many entries a message has, as far as it can be read.
func countEntries(data []byte) (n uint64) {
	var m message
	_ = m.read(data) // what cannot be read holds none
	for _, list := range [][]byte{m.http, m.tcp} {
		_ = entries(list, func([]byte) error { n++; return nil })
	}
	return n
}

// entry is what is read of an entry (envoy/data/accesslog/v3/accesslog.proto). It refers to
// the message that it came in.
type entry struct {
	start time.Duration // since 1970, by the proxy's clock
	// The others are since the start, and negative where there was none.
	requestEnd time.Duration // when the last byte of the request came
	headers    time.Duration // when the first byte of the upstream's response came
	took       time.Duration // when all was over
	complete   bool          // the last byte of a response was sent

	route        []byte
	remote       netip.AddrPort // of the endpoint
	flags        wire.Flags
	kind         uint64 // AccessLogType
	attempts     uint64
	process      uint32 // whose probe the call is, by its mark
	probe        uint32 // which one; 0: none
	reason       []byte // why the transport failed
	requestType  []byte // content-type
	timeout      []byte // grpc-timeout
	upgrade      []byte // upgrade
	status       uint64
	details      []byte
	body         uint64 // bytes of the response's body
	responseType []byte // content-type
	grpcHeader   []byte // grpc-status of the response's headers
	grpcStatus   []byte // of its trailers
}

// unauthorized is the number of unauthorized_details in ResponseFlags.
const unauthorized = 13

// AccessLogTypes of connections.
const (
	tcpUpstreamConnected = 1
	tcpConnectionEnd     = 3
	tcpConnectionStart   = 14
)

// downstreamPeriodic is the AccessLogType of calls that have not ended yet.
const downstreamPeriodic = 5

// read reads an HTTPAccessLogEntry, or a TCPAccessLogEntry, which has the first field alone.
func (e *entry) read(data []byte) error {
	*e = entry{requestEnd: -1, headers: -1}
	return texts(data, func(number protowire.Number, b []byte) error {
		switch number {
		case 1:
			return e.readCommon(b)
		case 3:
			return e.readRequest(b)
		case 4:
			return e.readResponse(b)
		}
		return nil
	})
}

func (e *entry) readCommon(data []byte) error {
	return fields(data, func(number protowire.Number, n uint64, b []byte) (err error) {
		if b == nil {
			switch number {
			case 24:
				e.attempts = n
			case 33:
				e.kind = n
			}
			return nil
		}
		switch number {
		case 5:
			e.start, err = readTime(b)
		case 6:
			e.requestEnd, err = readOffset(b)
		case 9:
			e.headers, err = readOffset(b)
		case 12:
			e.complete = true
		case 13:
			e.remote, err = readAddress(b)
		case 16:
			err = fields(b, func(number protowire.Number, n uint64, b []byte) error {
				// All are bools, but for one that is a message.
				if set := n != 0; number < 64 && (b != nil) == (number == unauthorized) && (set || b != nil) {
					e.flags |= 1 << number
				}
				return nil
			})
		case 17:
			e.process, e.probe, err = readProbe(b)
		case 18:
			e.reason = b
		case 19:
			e.route = b
		case 23:
			e.took, err = readTime(b)
		}
		return err
	})
}

func (e *entry) readRequest(data []byte) error {
	return texts(data, func(number protowire.Number, b []byte) error {
		if number != 13 {
			return nil
		}
		key, value, err := readPair(b)
		switch string(key) {
		case "content-type":
			e.requestType = value
		case "grpc-timeout":
			e.timeout = value
		case "upgrade":
			e.upgrade = value
		}
		return err
	})
}

func (e *entry) readResponse(data []byte) error {
	return fields(data, func(number protowire.Number, n uint64, b []byte) error {
		switch {
		case number == 1 && b != nil:
			return numbers(b, func(number protowire.Number, n uint64) error {
				if number == 1 {
					e.status = n
				}
				return nil
			})
		case number == 3 && b == nil:
			e.body = n
		case number == 4 && b != nil:
			key, value, err := readPair(b)
			switch string(key) {
			case "content-type":
				e.responseType = value
			case "grpc-status":
				e.grpcHeader = value
			}
			return err
		case number == 5 && b != nil:
			key, value, err := readPair(b)
			if string(key) == "grpc-status" {
				e.grpcStatus = value
			}
			return err
		case number == 6 && b != nil:
			e.details = b
		}
		return nil
	})
}

// readPair reads an entry of a map; a value that is not there is empty, not nil.
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

// readProbe reads which probe a call is from the dynamic metadata that the control plane
// gave it: a text in a Struct below our namespace.
func readProbe(metadata []byte) (process, id uint32, err error) {
	err = under(metadata, wire.Namespace, func(marks []byte) error {
		return under(marks, wire.ProbeKey, func(value []byte) error {
			return texts(value, func(number protowire.Number, b []byte) error {
				if number == 3 { // string_value
					process, id = wire.ProbeOf(b)
				}
				return nil
			})
		})
	})
	return process, id, err
}

// under calls visit for the values of a key in a message whose first field is a map.
func under(m []byte, key string, visit func(value []byte) error) error {
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

// readOffset reads a Duration since the beginning of a call.
func readOffset(data []byte) (time.Duration, error) {
	d, err := readTime(data)
	return max(d, 0), err
}

// readTime reads a Timestamp or a Duration. What does not fit is as far as it gets.
func readTime(data []byte) (time.Duration, error) {
	var seconds, nanos int64
	err := numbers(data, func(number protowire.Number, n uint64) error {
		switch number {
		case 1:
			seconds = int64(n)
		case 2:
			nanos = int64(int32(n))
		}
		return nil
	})
	const most = int64(mostEnd / time.Second)
	seconds = max(-most, min(seconds, most))
	return time.Duration(seconds)*time.Second + time.Duration(nanos), err
}
