package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// Format is the version of records, and of what the stores put around them. Any change of a record needs a new version, because an
// older version of this program must not guess the meaning of an unknown field. Records of all versions from 1 on can be read. Fields
// that a later version added are absent in them, and an absent field means the same as before it existed.
const Format = 2

// NewerError is the error for a record that a newer version of this program wrote. Its value is the record's format.
type NewerError int

func (e NewerError) Error() string {
	return fmt.Sprintf("a newer version of this program wrote it, in format %d; this one knows %d", int(e), Format)
}

// CheckFormat returns the error for reading what is around a record, which says that it has a format; err is the error so far. A newer
// format is the reason for any other error, because what it is around may have another form.
func CheckFormat(format int, err error) error {
	switch {
	case format > Format:
		return NewerError(format)
	case err != nil:
		return err
	case format < 1:
		return fmt.Errorf("its format is %d, which there never was", format)
	}
	return nil
}

// Decode reads a record. The record must have exactly the bytes that this version writes for it. So fields that
// are missing, unknown or there twice, and numbers that do not fit, are errors.
func Decode(raw []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(raw, &r); err != nil {
		return Record{}, err
	}
	again, err := json.Marshal(r)
	if err != nil {
		return Record{}, err
	}
	if !bytes.Equal(raw, again) {
		return Record{}, errors.New("not as this version writes it")
	}
	return r, nil
}
