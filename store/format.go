package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/store/internal/record"
)

const (
	// maxFileBytes limits the size of a file that is read into memory. It is enough for about 60,000 breakers that are
	// not closed.
	maxFileBytes = 64 << 20
	// envelopeBytes is more than the size of an envelope without its list.
	envelopeBytes = 1 << 10
)

// envelope is the content of a file. The checksum covers all other fields.
type envelope struct {
	Format   int             `json:"format"`
	SHA256   string          `json:"sha256"`
	Written  string          `json:"written"`
	Breakers json.RawMessage `json:"breakers"` // a list of records
}

func (e envelope) checksum() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n%s\n", e.Format, e.Written) // a hash returns no errors
	h.Write(e.Breakers)
	return hex.EncodeToString(h.Sum(nil))
}

// encode returns the list of records. Equal states give equal bytes, in whatever order they are.
func encode(saved []breaker.Saved, a record.Anchor) ([]byte, error) {
	records := make([]record.Record, len(saved))
	for i, s := range saved {
		records[i] = record.New(s, a)
	}
	slices.SortFunc(records, func(r, s record.Record) int {
		return cmp.Or(cmp.Compare(r.Key.Upstream, s.Key.Upstream), cmp.Compare(r.Key.Route, s.Key.Route), cmp.Compare(r.Key.Node, s.Key.Node))
	})
	return json.Marshal(records)
}

// seal returns the content of a file with a list of records.
func seal(breakers []byte, written time.Time) ([]byte, error) {
	if len(breakers)+envelopeBytes > maxFileBytes {
		return nil, fmt.Errorf("they take %d MiB, and at most %d MiB are read", len(breakers)>>20, maxFileBytes>>20)
	}
	e := envelope{Format: record.Format, Written: written.Format(time.RFC3339Nano), Breakers: breakers}
	e.SHA256 = e.checksum()
	data, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}

// decode reads the content of a file. It returns either all records or an error. Its use of memory is in proportion to the
// size of data, because it checks each record before it reads the next one.
func decode(data []byte, now record.Anchor) ([]breaker.Saved, error) {
	var e envelope
	err := json.Unmarshal(data, &e)
	if err := record.CheckFormat(e.Format, err); err != nil {
		return nil, err
	}
	if e.SHA256 != e.checksum() {
		return nil, errors.New("its checksum is not that of what it says")
	}
	written, err := time.Parse(time.RFC3339Nano, e.Written)
	if err != nil {
		return nil, fmt.Errorf("when it was written: %w", err)
	}
	return decodeRecords(e.Breakers, now.NotBefore(written))
}

// decodeRecords reads a list of records.
func decodeRecords(list []byte, now record.Anchor) ([]breaker.Saved, error) {
	d := json.NewDecoder(bytes.NewReader(list))
	if token, err := d.Token(); err != nil || token != json.Delim('[') {
		return nil, errors.New("its breakers are not a list")
	}
	var saved []breaker.Saved
	for d.More() {
		var raw json.RawMessage
		err := d.Decode(&raw)
		var r record.Record
		if err == nil {
			r, err = record.Decode(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("breaker %d of it: %w", len(saved)+1, err)
		}
		saved = append(saved, r.Saved(now))
	}
	return saved, nil
}
