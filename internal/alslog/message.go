package alslog

import (
	"errors"
	"iter"

	"google.golang.org/protobuf/encoding/protowire"
)

// Message is a StreamAccessLogsMessage. [Message.Read] fills it, and may be called again for the next message. The byte
// slices in it and in its entries refer to the bytes that were read: they are valid as long as nothing changes these.
type Message struct {
	// Identified says that the message has an identifier, as the first message of a stream must.
	Identified bool
	// Node is the id of the proxy, Cluster the name of its cluster (its workload), and Log the name of the log. All are
	// from the identifier; nil where it does not have them.
	Node, Cluster, Log []byte
	// TCP says that the entries describe connections (tcp_logs) and not requests (http_logs).
	TCP bool

	entries []byte
	entry   Entry
}

// Read reads the message in data, but not yet its entries. The error is nil or [ErrMalformed].
func (m *Message) Read(data []byte) error {
	m.Identified, m.Node, m.Cluster, m.Log, m.TCP, m.entries = false, nil, nil, nil, false, nil
	return texts(data, func(number protowire.Number, b []byte) error {
		switch number {
		case 1:
			m.Identified = true
			return m.readIdentifier(b)
		case 2:
			m.TCP, m.entries = false, b
		case 3:
			m.TCP, m.entries = true, b
		}
		return nil
	})
}

func (m *Message) readIdentifier(data []byte) error {
	return texts(data, func(number protowire.Number, b []byte) error {
		switch number {
		case 1:
			return m.readNode(b)
		case 2:
			m.Log = b
		}
		return nil
	})
}

func (m *Message) readNode(data []byte) error {
	return texts(data, func(number protowire.Number, b []byte) error {
		switch number {
		case 1:
			m.Node = b
		case 2:
			m.Cluster = b
		}
		return nil
	})
}

// Entries reads the entries one after the other, in the order in which the proxy wrote them. The pointer is the same for
// all of them: an entry is valid until the next one is read. A malformed entry ends the loop, with the error
// [ErrMalformed] and no entry.
func (m *Message) Entries() iter.Seq2[*Entry, error] { return m.EntriesWhere(nil) }

// EntriesWhere is [Message.Entries] for the entries whose route is wanted; nil: all. To find the route of an entry takes a part of
// the time that reading it takes.
func (m *Message) EntriesWhere(wanted func(route []byte) bool) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) { m.readEntries(wanted, yield) }
}

func (m *Message) readEntries(wanted func(route []byte) bool, yield func(*Entry, error) bool) {
	err := m.eachEntry(func(data []byte) error {
		if wanted != nil {
			if route, err := routeOf(data); err != nil || !wanted(route) {
				return err
			}
		}
		if err := m.entry.read(data, m.TCP); err != nil {
			return err
		}
		if !yield(&m.entry, nil) {
			return errStopped
		}
		return nil
	})
	if err != nil && !errors.Is(err, errStopped) {
		yield(nil, err)
	}
}

// Len returns how many entries there are, without reading them. Where the list of entries is malformed, it counts those
// before that place.
func (m *Message) Len() (n int) {
	_ = m.eachEntry(func([]byte) error { n++; return nil }) // the count is right up to the error
	return n
}

// eachEntry calls visit for the bytes of each entry in an HTTPAccessLogEntries or a TCPAccessLogEntries.
func (m *Message) eachEntry(visit func(data []byte) error) error {
	return texts(m.entries, func(number protowire.Number, b []byte) error {
		if number != 1 {
			return nil
		}
		return visit(b)
	})
}
