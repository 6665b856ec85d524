package shared

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/untrusted"
)

// Keys of the states of breakers. The key of a state expires some time after the state has ended.
const (
	statesKey   = "states" // the set of the keys of states, of which some may have expired
	statePrefix = "state:"
)

// chunk is how many states one script reads or writes. A script blocks the server while it runs.
const chunk = 100

// Stored is the state of a breaker in the store.
type Stored struct {
	// Epoch is the epoch of the view in which the owner of the breaker wrote the state.
	Epoch uint64
	// Owner is the id of the replica that wrote it.
	Owner string
	// Saved is the state, in the instants of this process.
	Saved breaker.Saved
}

// stateKey returns the key of a breaker's state. The parts of the breaker's key are escaped, so that they cannot be confused.
func (s *Store) stateKey(k breaker.Key) string {
	return s.key(statePrefix) + url.PathEscape(k.Upstream) + "/" + url.PathEscape(k.Route) + "/" + url.PathEscape(k.Node)
}

// loadScript returns the key, the time to live and the value of each state, and forgets those that have expired. A value that is too
// large, or of another type, is empty.
var loadScript = redis.NewScript(`
local reply = {}
for i = 2, #KEYS do
	local ttl = redis.call('PTTL', KEYS[i])
	if ttl == -2 then
		redis.call('SREM', KEYS[1], KEYS[i])
	else
		local size = redis.pcall('STRLEN', KEYS[i])
		local value = ''
		if type(size) == 'number' and size <= tonumber(ARGV[1]) then
			value = redis.call('GET', KEYS[i])
		end
		table.insert(reply, {KEYS[i], ttl, value})
	end
end
return reply`)

// Load returns the states of all breakers in the store. It asks for a hundred at a time, and takes at most a second for each time. A
// state that cannot be read, such as one that a newer version of this program wrote, is left out, with one warning for all of them.
//
// The time since a state was written is measured by the store, which has it in the time to live of its key. So the clocks of other hosts
// do not matter. No wait gets longer, except by the time that the state took to the store and from it.
func (s *Store) Load(ctx context.Context) ([]Stored, error) {
	var all []Stored
	var skipped unreadable
	seen := map[string]bool{} // the server may return a key twice
	for cursor := uint64(0); ; {
		var found []string
		err := s.do(ctx, opLoad, func(ctx context.Context) (err error) {
			found, cursor, err = s.client.SScan(ctx, s.key(statesKey), cursor, "", chunk).Result()
			return err
		})
		if err != nil {
			return nil, err
		}
		keys := []string{s.key(statesKey)}
		for _, key := range found {
			switch {
			case seen[key]:
			case !strings.HasPrefix(key, s.key(statePrefix)):
				skipped.add(key, errors.New("it is no key of a state"))
			default:
				keys = append(keys, key)
			}
			seen[key] = true
		}
		stored, err := s.loadKeys(ctx, keys, &skipped)
		if err != nil {
			return nil, err
		}
		all = append(all, stored...)
		if cursor == 0 {
			break
		}
	}
	if skipped.count > 0 {
		s.log.Warn("states of breakers in the store cannot be read, and are left out",
			"count", skipped.count, "one_key", untrusted.Message(skipped.key), "why", untrusted.Message(skipped.why.Error()))
	}
	return all, nil
}

// loadKeys reads states; the first of the keys is the set's key.
func (s *Store) loadKeys(ctx context.Context, keys []string, skipped *unreadable) ([]Stored, error) {
	if len(keys) == 1 {
		return nil, nil
	}
	reply, err := s.run(ctx, opLoad, loadScript, keys, maxValueBytes)
	if err != nil {
		return nil, err
	}
	now := s.clock.Anchor() // after the reply, so that no time that has passed is left out
	list, _ := reply.([]any)
	var all []Stored
	for _, item := range list {
		parts, _ := item.([]any)
		if len(parts) != 3 {
			return nil, s.failed(opLoad, fmt.Errorf("its reply has %d parts", len(parts)))
		}
		key, _ := parts[0].(string)
		ttl, _ := parts[1].(int64)
		value, _ := parts[2].(string)
		stored, err := decodeState(value, ttl, now.Instant)
		if err == nil && s.stateKey(stored.Saved.Key) != key {
			err = errors.New("it is the state of another breaker")
		}
		if err != nil {
			skipped.add(key, err)
			continue
		}
		all = append(all, stored)
	}
	return all, nil
}

// unreadable are the states that cannot be read.
type unreadable struct {
	count int
	key   string // one of them
	why   error
}

func (u *unreadable) add(key string, why error) {
	u.count++
	u.key, u.why = key, why
}

// fenceOfLua is a function of Lua that returns the fence at the beginning of a value; false: there is none, or the value is not ours. Fences are compared as
// text, because the numbers of Lua are not exact.
const fenceOfLua = `
local function fence_of(key)
	local fence = redis.pcall('GETRANGE', key, 0, 40)
	return type(fence) == 'string' and #fence == 41 and string.find(fence, '^%d+%-%d+$') and fence
end
`

// writeScript writes states, unless the store has a newer one. It returns the mark, and 1 or 0 for each state.
var writeScript = redis.NewScript(fenceOfLua + `
redis.call('SET', KEYS[2], ARGV[1], 'NX')
local reply = {redis.call('GET', KEYS[2])}
for i = 3, #KEYS do
	local arg = 3 * i - 7
	local stored = fence_of(KEYS[i])
	if stored and stored > ARGV[arg] then
		table.insert(reply, '0')
	else
		redis.call('SET', KEYS[i], ARGV[arg] .. ' ' .. ARGV[arg + 1], 'PX', ARGV[arg + 2])
		redis.call('SADD', KEYS[1], KEYS[i])
		table.insert(reply, '1')
	end
end
return reply`)

// Write writes the state of a breaker. It returns false, and changes nothing, if the store has a state with a higher epoch, or with the
// same epoch and a higher generation: then this replica is no longer the breaker's owner.
//
// The store forgets the state a day after it has ended, and a state without an end after a week, if it is not written again.
func (s *Store) Write(ctx context.Context, state *Stored) (written bool, err error) {
	value, err := encodeState(state, s.clock.Anchor())
	if err != nil {
		return false, err
	}
	results, err := s.writeValues(ctx, []stateValue{value})
	return err == nil && results[0], err
}

// writeValues writes at most a chunk of states.
func (s *Store) writeValues(ctx context.Context, values []stateValue) (written []bool, err error) {
	keys := []string{s.key(statesKey), s.key(markKey)}
	args := []any{rand.Text()}
	for _, v := range values {
		keys = append(keys, s.stateKey(v.key))
		args = append(args, v.fence, v.text, v.life.Milliseconds())
	}
	reply, err := s.run(ctx, opWrite, writeScript, keys, args...)
	if err != nil {
		return nil, err
	}
	mark, written, err := s.results(opWrite, reply, len(values))
	if err == nil {
		s.health.sawMark(mark)
	}
	return written, err
}

// results reads the reply of a script that returns a text, and 1 or 0 for each of n states.
func (s *Store) results(op operation, reply any, n int) (first string, results []bool, err error) {
	fields, err := texts(reply)
	if err == nil && len(fields) != n+1 {
		err = fmt.Errorf("its reply has %d parts", len(fields))
	}
	if err != nil {
		return "", nil, s.failed(op, err)
	}
	for _, field := range fields[1:] {
		results = append(results, field == "1")
		if field != "1" {
			s.health.countFenced()
		}
	}
	return fields[0], results, nil
}

// removeScript removes states, unless the store has a newer one. It returns 1 or 0 for each of them.
var removeScript = redis.NewScript(fenceOfLua + `
local reply = {''}
for i = 2, #KEYS do
	local stored = fence_of(KEYS[i])
	if stored and stored > ARGV[i - 1] then
		table.insert(reply, '0')
	else
		redis.call('DEL', KEYS[i])
		redis.call('SREM', KEYS[1], KEYS[i])
		table.insert(reply, '1')
	end
end
return reply`)

// Remove removes the state of a breaker that is plainly closed again, and leaves nothing of it in the store. It returns false, and changes
// nothing, where Write would. It returns true if the store has no state of the breaker.
func (s *Store) Remove(ctx context.Context, key breaker.Key, epoch, generation uint64) (removed bool, err error) {
	results, err := s.removeKeys(ctx, []stateValue{{key: key, fence: fence(epoch, generation)}})
	return err == nil && results[0], err
}

// removeKeys removes at most a chunk of states.
func (s *Store) removeKeys(ctx context.Context, states []stateValue) (removed []bool, err error) {
	keys := []string{s.key(statesKey)}
	var args []any
	for _, v := range states {
		keys = append(keys, s.stateKey(v.key))
		args = append(args, v.fence)
	}
	reply, err := s.run(ctx, opRemove, removeScript, keys, args...)
	if err != nil {
		return nil, err
	}
	_, removed, err = s.results(opRemove, reply, len(states))
	return removed, err
}
