package shared

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/store"
	"breakwater.dev/store/internal/record"
)

// refreshPeriod is how often all states are written again although they have not changed, so that the store has them even if it has
// lost some and nothing has noticed.
const refreshPeriod = 5 * time.Minute

// Ownership says which breakers this replica owns.
type Ownership struct {
	// Epoch is the epoch of the view that this follows from.
	Epoch uint64
	// Owns reports whether this replica owns a breaker, and its engine has taken up the state that the store had. Before that, the
	// breaker would seem to be closed.
	Owns func(breaker.Key) bool
}

// Replica is the part of a replica that a [Keeper] saves. Its functions are called on the goroutine of [store.Keeper.Run].
type Replica struct {
	// ID is the id of the replica.
	ID string
	// Export returns the states of breakers that are not plainly closed.
	Export func() []breaker.Saved
	// Ownership returns the present ownership.
	Ownership func() Ownership
}

// Keeper writes the states of the breakers that this replica owns, in the background. It writes each state that has changed, and
// removes the state of a breaker that has become plainly closed. It leaves alone the states of breakers that another replica owns now.
//
// It writes all states again every five minutes, and as soon as the store may have lost some: after an outage, or when it was emptied.
type Keeper struct {
	*store.Keeper
	saver *saver
}

// NewKeeper returns the keeper of a store, which has one at most. Its [store.Keeper.Run] has to be called.
func NewKeeper(s *Store, replica Replica, log *slog.Logger) *Keeper {
	saver := &saver{store: s, replica: replica, log: log, last: map[breaker.Key]lastState{}}
	k := &Keeper{Keeper: store.NewKeeper(saver, log), saver: saver}
	s.health.listen(k.Again)
	return k
}

// Taken tells the keeper which states the engine of this replica has taken up from the store, once [Ownership.Owns] reports true for
// them. If the engine has refused such a state, for example because the breaker's policy is another one now, the keeper removes it.
func (k *Keeper) Taken(states []Stored) {
	k.saver.mu.Lock()
	k.saver.taken = append(k.saver.taken, states...)
	k.saver.mu.Unlock()
	k.Notify()
}

// saver is the [store.Saver] of a keeper. All but taken is used only by the goroutine that saves.
type saver struct {
	store   *Store
	replica Replica
	log     *slog.Logger

	anchor record.Anchor // when the last refresh began. With one anchor, equal states are equal bytes
	losses uint64        // how often the store had lost content when everything was written the last time
	full   bool          // everything was written once
	// last has the states of our breakers that are in the store, as far as we know.
	last map[breaker.Key]lastState

	mu    sync.Mutex // guards taken
	taken []Stored   // not yet in last
}

// lastState is a state in the store.
type lastState struct {
	record     []byte // nil: another replica has written it
	generation uint64
}

// SaveStates implements [store.Saver].
func (s *saver) SaveStates() (written int, err error) {
	losses := s.store.health.lossCount()
	s.takeIn() // before the snapshot, which then knows that they are owned
	exported, owned := s.snapshot()
	now := s.store.clock.Anchor()
	refresh := !s.full || losses != s.losses || now.Instant.Sub(s.anchor.Instant) >= refreshPeriod
	if refresh {
		s.anchor = now
	}
	writes, err := s.changed(exported, owned, refresh)
	if err != nil {
		return 0, err
	}
	removes := s.closed(exported, owned)
	if written, err = s.write(writes); err != nil {
		return 0, err
	}
	if err := s.remove(removes); err != nil {
		return 0, err
	}
	if refresh {
		s.losses, s.full = losses, true
	}
	return written, nil
}

// snapshot returns the states that the engine exports, and the ownership, which was the same before and after the export.
func (s *saver) snapshot() ([]breaker.Saved, Ownership) {
	for {
		before := s.replica.Ownership()
		exported := s.replica.Export()
		after := s.replica.Ownership()
		if before.Epoch == after.Epoch {
			owns := func(key breaker.Key) bool { return before.Owns(key) && after.Owns(key) }
			return exported, Ownership{Epoch: after.Epoch, Owns: owns}
		}
	}
}

// takeIn adds the states that the engine has taken up from the store.
func (s *saver) takeIn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stored := range s.taken {
		s.last[stored.Saved.Key] = lastState{generation: stored.Saved.Generation}
	}
	s.taken = nil
}

// changed returns the values of the exported states that the store does not have. With all, it returns every exported state.
func (s *saver) changed(exported []breaker.Saved, owned Ownership, all bool) ([]stateValue, error) {
	now := s.anchor.At(s.store.clock.Anchor().Instant)
	var values []stateValue
	for _, saved := range exported {
		if !owned.Owns(saved.Key) {
			continue
		}
		value, err := encodeState(&Stored{Epoch: owned.Epoch, Owner: s.replica.ID, Saved: saved}, now)
		if err != nil {
			return nil, err
		}
		if all || !bytes.Equal(value.record, s.last[saved.Key].record) {
			values = append(values, value)
		}
	}
	return values, nil
}

// closed returns the states that the store has of breakers that are plainly closed. It forgets the states of breakers that
// this replica no longer owns.
func (s *saver) closed(exported []breaker.Saved, owned Ownership) []stateValue {
	open := make(map[breaker.Key]bool, len(exported))
	for _, saved := range exported {
		open[saved.Key] = true
	}
	var values []stateValue
	for key, last := range s.last {
		switch {
		case !owned.Owns(key):
			delete(s.last, key)
		case !open[key]:
			values = append(values, stateValue{key: key, generation: last.generation, fence: fence(owned.Epoch, last.generation)})
		}
	}
	return values
}

// write writes states, and returns the number of bytes. A state that is refused is tried again when it has changed.
func (s *saver) write(values []stateValue) (bytes int, err error) {
	var refused []breaker.Key
	for part := range slices.Chunk(values, chunk) {
		written, err := s.store.writeValues(context.Background(), part)
		if err != nil {
			return 0, err
		}
		for i, value := range part {
			s.last[value.key] = lastState{record: value.record, generation: value.generation}
			if !written[i] {
				refused = append(refused, value.key)
				continue
			}
			bytes += len(value.text)
		}
	}
	s.logRefused(refused)
	return bytes, nil
}

// remove removes states.
func (s *saver) remove(values []stateValue) error {
	var refused []breaker.Key
	for part := range slices.Chunk(values, chunk) {
		removed, err := s.store.removeKeys(context.Background(), part)
		if err != nil {
			return err
		}
		for i, value := range part {
			delete(s.last, value.key)
			if !removed[i] {
				refused = append(refused, value.key)
			}
		}
	}
	s.logRefused(refused)
	return nil
}

// logRefused logs that another replica has newer states of breakers, which it owns.
func (s *saver) logRefused(keys []breaker.Key) {
	if len(keys) > 0 {
		s.log.Warn("states of breakers were not written, because another replica has written newer ones", "count", len(keys), "one_breaker", keys[0].String())
	}
}
