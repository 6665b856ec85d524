package alslog

import (
	"net/netip"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Entry is the access log entry of a request or of a connection (HTTPAccessLogEntry and TCPAccessLogEntry in
// envoy/data/accesslog/v3/accesslog.proto). Fields that its protocol does not have are zero, offsets negative.
type Entry struct {
	// Start is when the request or connection began: time since 1970, by the proxy's clock (start_time).
	Start time.Duration
	// Duration is the time from Start to the end (duration); 0 where the entry was written before the end. A custom tag
	// can say how long the request had lasted by then, see [Entry.Tag].
	Duration time.Duration
	// RequestEnd is when the last byte of the request came (time_to_last_rx_byte), and ResponseBegin when the first byte of the
	// upstream's response came (time_to_first_upstream_rx_byte). Both are counted from Start, and negative where
	// that did not happen.
	RequestEnd, ResponseBegin time.Duration
	// Complete says that the last byte of a response was sent to the client (time_to_last_downstream_tx_byte).
	Complete bool

	// Type is the point in the life of the request or connection at which the entry was written.
	Type Type
	// Route is the name of the route that the request took.
	Route []byte
	// Remote is the address of the upstream's endpoint. It is not valid where there was none, or where it is no IP address.
	Remote netip.AddrPort
	// Flags are the response flags: bit 1<<n is the field with number n of ResponseFlags.
	Flags uint64
	// Attempts is how many times the request was sent to the upstream; 0 where the proxy does not say.
	Attempts uint32
	// TransportFailure is why the connection to the upstream failed (upstream_transport_failure_reason), such as the error of
	// a TLS handshake.
	TransportFailure []byte

	// Headers of the request, which a proxy logs where its configuration names them; nil where it did not.
	RequestContentType, GRPCTimeout, Upgrade []byte
	// Status is the HTTP status that the client got; 0 where it got none.
	Status uint32
	// Details are the response_code_details: a word for what answered, or why the request ended.
	Details []byte
	// BodyBytes is the size of the response's body (response_body_bytes).
	BodyBytes uint64
	// ResponseContentType is a header of the response. GRPCStatusHeader and GRPCStatusTrailer are grpc-status of its
	// headers and of its trailers. Each is nil where it was not logged, and not nil where it was logged and is empty.
	ResponseContentType, GRPCStatusHeader, GRPCStatusTrailer []byte

	metadata []byte
	common   []byte
}

// Type is an AccessLogType.
type Type uint32

// The types that readers need to tell apart. There are others.
const (
	TCPUpstreamConnected Type = 1  // the connection to the upstream is established
	TCPConnectionEnd     Type = 3  // the connection ended
	DownstreamPeriodic   Type = 5  // the request has not ended
	TCPConnectionStart   Type = 14 // the client's connection was accepted
)

// MaxTime bounds the seconds of all times of an entry, in both directions, so that neither the sum nor the difference of two
// of them overflows. As a time since 1970 it is in the year 2105.
const MaxTime = 136 * 365 * 24 * time.Hour

// End returns when the request or connection ended: time since 1970, by the proxy's clock.
func (e *Entry) End() time.Duration { return e.Start + e.Duration }

// Metadata returns the string that the dynamic metadata of the request has for a key in a namespace; empty where it has none. The
// error is nil or [ErrMalformed].
func (e *Entry) Metadata(namespace, key string) (value []byte, err error) {
	if e.metadata == nil {
		return nil, nil
	}
	return e.lookUp(namespace, key)
}

// Tag returns the custom tag with a name; empty where the entry has none. The error is nil or [ErrMalformed].
func (e *Entry) Tag(name string) (value []byte, err error) {
	err = texts(e.common, func(number protowire.Number, b []byte) error {
		if number != 22 {
			return nil
		}
		key, v, err := readPair(b)
		if err == nil && string(key) == name {
			value = v
		}
		return err
	})
	return value, err
}

// lookUp is [Entry.Metadata] of an entry with metadata.
func (e *Entry) lookUp(namespace, key string) (value []byte, err error) {
	err = valuesOf(namespace, e.metadata, func(keys []byte) error {
		return valuesOf(key, keys, func(of []byte) error {
			return texts(of, func(number protowire.Number, b []byte) error {
				if number == 3 { // string_value
					value = b
				}
				return nil
			})
		})
	})
	return value, err
}

// read reads an HTTPAccessLogEntry, or a TCPAccessLogEntry, of which the first field alone is the same.
func (e *Entry) read(data []byte, tcp bool) error {
	*e = Entry{RequestEnd: -1, ResponseBegin: -1}
	return texts(data, func(number protowire.Number, b []byte) error {
		switch {
		case number == 1:
			return e.readCommon(b)
		case number == 3 && !tcp:
			return e.readRequest(b)
		case number == 4 && !tcp:
			return e.readResponse(b)
		}
		return nil
	})
}

// routeOf returns the route of the entry in data, and reads nothing else of it.
func routeOf(data []byte) (route []byte, err error) {
	err = texts(data, func(number protowire.Number, common []byte) error {
		if number != 1 {
			return nil
		}
		return texts(common, func(number protowire.Number, b []byte) error {
			if number == 19 {
				route = b
			}
			return nil
		})
	})
	return route, err
}

func (e *Entry) readCommon(data []byte) error {
	e.common = data
	return fields(data, func(number protowire.Number, n uint64, b []byte) (err error) {
		if b == nil {
			switch number {
			case 24:
				e.Attempts = uint32(n)
			case 33:
				e.Type = Type(n)
			}
			return nil
		}
		switch number {
		case 5:
			e.Start, err = readTime(b)
		case 6:
			e.RequestEnd, err = readOffset(b)
		case 9:
			e.ResponseBegin, err = readOffset(b)
		case 12:
			e.Complete = true
		case 13:
			e.Remote, err = readAddress(b)
		case 16:
			err = e.readFlags(b)
		case 17:
			e.metadata = b
		case 18:
			e.TransportFailure = b
		case 19:
			e.Route = b
		case 23:
			e.Duration, err = readTime(b)
		}
		return err
	})
}

// unauthorizedDetails is the number of the one field of ResponseFlags that is a message. All others are bools.
const unauthorizedDetails = 13

func (e *Entry) readFlags(data []byte) error {
	return fields(data, func(number protowire.Number, n uint64, b []byte) error {
		if set := n != 0; number < 64 && (b != nil) == (number == unauthorizedDetails) && (set || b != nil) {
			e.Flags |= 1 << number
		}
		return nil
	})
}

func (e *Entry) readRequest(data []byte) error {
	return texts(data, func(number protowire.Number, b []byte) error {
		if number != 13 {
			return nil
		}
		key, value, err := readPair(b)
		switch string(key) {
		case "content-type":
			e.RequestContentType = value
		case "grpc-timeout":
			e.GRPCTimeout = value
		case "upgrade":
			e.Upgrade = value
		}
		return err
	})
}

func (e *Entry) readResponse(data []byte) error {
	return fields(data, func(number protowire.Number, n uint64, b []byte) error {
		switch {
		case number == 1 && b != nil:
			return numbers(b, func(number protowire.Number, n uint64) error {
				if number == 1 {
					e.Status = uint32(n)
				}
				return nil
			})
		case number == 3 && b == nil:
			e.BodyBytes = n
		case number == 4 && b != nil:
			key, value, err := readPair(b)
			switch string(key) {
			case "content-type":
				e.ResponseContentType = value
			case "grpc-status":
				e.GRPCStatusHeader = value
			}
			return err
		case number == 5 && b != nil:
			key, value, err := readPair(b)
			if string(key) == "grpc-status" {
				e.GRPCStatusTrailer = value
			}
			return err
		case number == 6 && b != nil:
			e.Details = b
		}
		return nil
	})
}

// readOffset reads a Duration that is counted from the start of the request. A negative one is read as 0.
func readOffset(data []byte) (time.Duration, error) {
	d, err := readTime(data)
	return max(d, 0), err
}

// readTime reads a Timestamp or a Duration, and cuts it to at most [MaxTime] in either direction.
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
	const most = int64(MaxTime / time.Second)
	seconds = max(-most, min(seconds, most))
	return time.Duration(seconds)*time.Second + time.Duration(nanos), err
}
