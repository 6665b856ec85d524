package shared

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/store/internal/record"
)

const (
	// grace is how long the store keeps a state after its end. A replica that starts within this time learns that the breaker was open.
	grace = 24 * time.Hour
	// endless is how long the store keeps a state without an end.
	endless = 7 * 24 * time.Hour
	// maxLife is the longest time for which the store keeps a state that is not written again.
	maxLife = 10 * 365 * 24 * time.Hour
	// maxValueBytes is the largest value that is read. States are far smaller.
	maxValueBytes = 1 << 20
)

// envelope has the parts of a value behind its fence.
type envelope struct {
	Format int `json:"format"` // [record.Format]
	// Epoch and Owner are in [Stored] too.
	Epoch uint64 `json:"epoch"`
	Owner string `json:"owner"`
	// Written is the time of writing, by the clock of the writer's host, and so are all times of the breaker. A reader uses only their
	// differences.
	Written time.Time `json:"written"`
	// LifeMilliseconds is the time to live that the key had at that time.
	LifeMilliseconds int64           `json:"lifeMilliseconds"`
	Breaker          json.RawMessage `json:"breaker"` // a [record.Record]
}

// stateValue is a state as it is written.
type stateValue struct {
	key        breaker.Key
	generation uint64
	fence      string
	record     []byte
	text       []byte // the envelope, which has the record
	life       time.Duration
}

// fence returns the text at the beginning of a value. The order of texts is the order of (epoch, generation). It stays the same in later
// formats, so that an older replica does not overwrite the state of a newer one.
func fence(epoch, generation uint64) string { return fmt.Sprintf("%020d-%020d", epoch, generation) }

// life returns how long the store keeps a state that is written now.
func life(s *breaker.Saved, now breaker.Instant) time.Duration {
	end := s.Ends()
	if end == 0 {
		return endless
	}
	return min(max(end.Sub(now), 0), maxLife) + grace
}

// encodeState returns the value of a state that is written now.
func encodeState(s *Stored, now record.Anchor) (stateValue, error) {
	r, err := json.Marshal(record.New(s.Saved, now))
	if err != nil {
		return stateValue{}, fmt.Errorf("the state of %s cannot be written: %w", s.Saved.Key, err)
	}
	life := life(&s.Saved, now.Instant).Truncate(time.Millisecond)
	text, err := json.Marshal(envelope{
		Format: record.Format, Epoch: s.Epoch, Owner: s.Owner, Written: now.Wall, LifeMilliseconds: life.Milliseconds(), Breaker: r,
	})
	return stateValue{
		key: s.Saved.Key, generation: s.Saved.Generation, fence: fence(s.Epoch, s.Saved.Generation), record: r, text: text, life: life,
	}, err
}

// decodeState reads a value whose key lives for another ttl milliseconds.
func decodeState(value string, ttl int64, now breaker.Instant) (Stored, error) {
	const fenceLength = 41
	if len(value) <= fenceLength || value[fenceLength] != ' ' {
		return Stored{}, errors.New("it is no state, or too large for one")
	}
	var e envelope
	err := json.Unmarshal([]byte(value[fenceLength+1:]), &e)
	if err := record.CheckFormat(e.Format, err); err != nil {
		return Stored{}, err
	}
	r, err := record.Decode(e.Breaker)
	switch {
	case err != nil:
		return Stored{}, err
	case fence(e.Epoch, r.Generation) != value[:fenceLength]:
		return Stored{}, errors.New("it begins with another epoch or generation than it has")
	case ttl < 0:
		return Stored{}, errors.New("its key does not expire, so its age is not known")
	}
	age := time.Duration(min(max(e.LifeMilliseconds-ttl, 0), (maxLife+grace).Milliseconds())) * time.Millisecond
	return Stored{Epoch: e.Epoch, Owner: e.Owner, Saved: r.Saved(record.Anchor{Instant: now, Wall: e.Written.Add(age)})}, nil
}
