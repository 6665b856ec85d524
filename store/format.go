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
	// format is the version of the file's format. Any change of a record needs a new version, because an older version of
	// this program must not guess the meaning of an unknown field. Files of all versions from 1 on can be read. Fields
	// that a later version added are absent in them, and an absent field means the same as before it existed.
	format = 2
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

// seal returns the content of a file with a list of records.
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

// newerError is the error for a file that a newer version of this program wrote. Its value is the file's format.
type newerError int

func (e newerError) Error() string {
	return fmt.Sprintf("a newer version of this program wrote it, in format %d; this one knows %d", int(e), format)
}

// decode reads the content of a file. It returns either all records or an error. Its use of memory is in proportion to the
// size of data, because it checks each record before it reads the next one.
func decode(data []byte, now anchor) ([]breaker.Saved, error) {
	var e envelope
	err := json.Unmarshal(data, &e)
	switch {
	case e.Format > format: // comes first, because the rest of such a file may have another form
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

// decodeRecords reads a list of records.
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

// decodeRecord reads the next record. The record must have exactly the bytes that this version writes for it. So fields that
// are missing, unknown or there twice, and numbers that do not fit, are errors.
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
