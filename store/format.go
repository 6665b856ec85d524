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
)

const (
	// format is the version of the file's format. Older versions of this program
	// must not guess at what they do not know, so any change of a record is a new one.
	// Files of every format from 1 on are read: what a later one added is left out in
	// them, which has the meaning that it had before.
	format = 2
	// maxFileBytes bounds what is read into memory. It is room for about 60,000
	// breakers that are not closed.
	maxFileBytes = 64 << 20
	// envelopeBytes is more than the envelope takes beside its list.
	envelopeBytes = 1 << 10
)

// envelope is a file. The checksum covers all the rest.
type envelope struct {
	Format   int             `json:"format"`
	SHA256   string          `json:"sha256"`
	Written  string          `json:"written"`
	Breakers json.RawMessage `json:"breakers"` // a list of records
}

func (e envelope) checksum() string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\n%s\n", e.Format, e.Written) // a hash takes everything
	h.Write(e.Breakers)
	return hex.EncodeToString(h.Sum(nil))
}

// encode is the list of records: the same bytes for the same breakers in any order.
func encode(saved []breaker.Saved, a anchor) ([]byte, error) {
	records := make([]record, len(saved))
	for i, s := range saved {
		records[i] = newRecord(s, a)
	}
	slices.SortFunc(records, func(r, s record) int {
		return cmp.Or(cmp.Compare(r.Key.Upstream, s.Key.Upstream), cmp.Compare(r.Key.Route, s.Key.Route), cmp.Compare(r.Key.Node, s.Key.Node))
	})
	return json.Marshal(records)
}

// seal makes a file of a list of records.
func seal(breakers []byte, written time.Time) ([]byte, error) {
	if len(breakers)+envelopeBytes > maxFileBytes {
		return nil, fmt.Errorf("they take %d MiB, and at most %d MiB are read", len(breakers)>>20, maxFileBytes>>20)
	}
	e := envelope{Format: format, Written: written.Format(time.RFC3339Nano), Breakers: breakers}
	e.SHA256 = e.checksum()
	data, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}

// newerError is why a file was not read that a newer version wrote.
type newerError int

func (e newerError) Error() string {
	return fmt.Sprintf("a newer version of this program wrote it, in format %d; this one knows %d", int(e), format)
}

// decode reads a file whole, or not at all. Its memory is bounded by the size of
// data: each record is checked before the next one is read.
func decode(data []byte, now anchor) ([]breaker.Saved, error) {
	var e envelope
	err := json.Unmarshal(data, &e)
	switch {
	case e.Format > format: // known before it matters whether the rest is as we expect it
		return nil, newerError(e.Format)
	case err != nil:
		return nil, err
	case e.Format < 1:
		return nil, fmt.Errorf("its format is %d, which there never was", e.Format)
	case e.SHA256 != e.checksum():
		return nil, errors.New("its checksum is not that of what it says")
	}
	written, err := time.Parse(time.RFC3339Nano, e.Written)
	if err != nil {
		return nil, fmt.Errorf("when it was written: %w", err)
	}
	return decodeRecords(e.Breakers, now.notBefore(written))
}

func decodeRecords(list []byte, now anchor) ([]breaker.Saved, error) {
	d := json.NewDecoder(bytes.NewReader(list))
	if token, err := d.Token(); err != nil || token != json.Delim('[') {
		return nil, errors.New("its breakers are not a list")
	}
	var saved []breaker.Saved
	for d.More() {
		r, err := decodeRecord(d)
		if err != nil {
			return nil, fmt.Errorf("breaker %d of it: %w", len(saved)+1, err)
		}
		saved = append(saved, r.saved(now))
	}
	return saved, nil
}

// decodeRecord reads the next record, which must be exactly what this version
// writes for it: that finds fields that are missing, unknown or said twice, and
// numbers that do not fit.
func decodeRecord(d *json.Decoder) (record, error) {
	var raw json.RawMessage
	if err := d.Decode(&raw); err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return record{}, err
	}
	again, err := json.Marshal(r)
	if err != nil {
		return record{}, err
	}
	if !bytes.Equal(raw, again) {
		return record{}, errors.New("not as this version writes it")
	}
	return r, nil
}
