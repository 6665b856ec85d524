package shared

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"breakwater.dev/internal/untrusted"
	"breakwater.dev/membership"
)

var _ membership.Registry = (*Store)(nil)

// Keys of the registry. The key of a replica expires when its time to live is over.
const (
	viewKey      = "view"    // a hash of epoch, nonce and members
	membersKey   = "members" // the set of the ids of replicas, of which some may have expired
	memberPrefix = "member:"
	// markKey has a random value, which every script sets that finds none. It is in the store as long as the rest of the content, so another
	// value means that the store was emptied.
	markKey = "mark"
)

// beatScript makes a replica live, forgets those that have expired, and returns the view, the mark and the live replicas. Expired
// replicas are found without the time of the server, which scripts cannot read everywhere. Only the server knows the keys of the other
// replicas, so they are not in KEYS; a cluster has them in the same slot.
var beatScript = redis.NewScript(`
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('SET', KEYS[4], ARGV[5], 'NX')
local view = redis.call('HMGET', KEYS[3], 'epoch', 'nonce', 'members')
local reply = {view[1] or '0', view[2] or '', view[3] or 'null', redis.call('GET', KEYS[4])}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[2])) do
	local member = redis.call('GET', ARGV[4] .. id)
	if member then
		table.insert(reply, member)
	else
		redis.call('SREM', KEYS[2], id)
	end
end
return reply`)

// Beat implements [membership.Registry]. A ttl below a millisecond is an error.
func (s *Store) Beat(ctx context.Context, self membership.Member, ttl time.Duration) (membership.Reading, error) {
	member, err := json.Marshal(self)
	if err != nil {
		return membership.Reading{}, err
	}
	keys := []string{s.key(memberPrefix + self.ID), s.key(membersKey), s.key(viewKey), s.key(markKey)}
	reply, err := s.run(ctx, opBeat, beatScript, keys, self.ID, member, ttl.Milliseconds(), s.key(memberPrefix), rand.Text())
	if err != nil {
		return membership.Reading{}, err
	}
	fields, err := texts(reply)
	if err == nil && len(fields) < 4 {
		err = fmt.Errorf("its reply has %d parts", len(fields))
	}
	var r membership.Reading
	if err == nil {
		s.health.sawMark(fields[3])
		r.View, err = decodeView(fields[0], fields[1], fields[2])
	}
	if err != nil {
		return membership.Reading{}, s.failed(opBeat, err)
	}
	r.Live = s.decodeMembers(fields[4:])
	return r, nil
}

// texts returns the strings of a script's reply.
func texts(reply any) ([]string, error) {
	list, ok := reply.([]any)
	if !ok {
		return nil, fmt.Errorf("its reply is a %T", reply)
	}
	fields := make([]string, len(list))
	for i, v := range list {
		if fields[i], ok = v.(string); !ok {
			return nil, fmt.Errorf("its reply has a %T", v)
		}
	}
	return fields, nil
}

// decodeView reads the record of the view.
func decodeView(epoch, nonce, members string) (v membership.View, err error) {
	v.Nonce = nonce
	if v.Epoch, err = strconv.ParseUint(epoch, 10, 64); err == nil {
		err = json.Unmarshal([]byte(members), &v.Members)
	}
	if err != nil {
		return membership.View{}, fmt.Errorf("the list of replicas in it cannot be read: %w", err)
	}
	return v, nil
}

// decodeMembers reads the records of live replicas. A replica whose record cannot be read is left out, because it cannot be reached.
func (s *Store) decodeMembers(records []string) []membership.Member {
	var live []membership.Member
	unreadable := ""
	for _, record := range records {
		var m membership.Member
		if err := json.Unmarshal([]byte(record), &m); err != nil || m.ID == "" {
			unreadable = max(unreadable, record)
			continue
		}
		live = append(live, m)
	}
	slices.SortFunc(live, func(a, b membership.Member) int { return cmp.Compare(a.ID, b.ID) })
	if s.health.sawUnreadable(unreadable) {
		s.log.Warn("the store has a replica whose record cannot be read", "keys", s.key(memberPrefix+"*"), "record", untrusted.Message(unreadable))
	}
	return live
}

// replaceScript puts a view in the place of another one. Where the new one is there already, an earlier call had its effect although
// its caller did not get the reply.
var replaceScript = redis.NewScript(`
local view = redis.call('HMGET', KEYS[1], 'epoch', 'nonce')
local epoch, nonce = view[1] or '0', view[2] or ''
if epoch == ARGV[3] and nonce == ARGV[4] then
	return 1
end
if epoch ~= ARGV[1] or nonce ~= ARGV[2] then
	return 0
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'nonce', ARGV[4], 'members', ARGV[5])
return 1`)

// Replace implements [membership.Registry]. Views are the same if their epoch and their nonce are; see [membership.View.Same].
func (s *Store) Replace(ctx context.Context, old, next *membership.View) (bool, error) {
	members, err := json.Marshal(next.Members)
	if err != nil {
		return false, err
	}
	reply, err := s.run(ctx, opReplace, replaceScript, []string{s.key(viewKey)}, epochText(old), old.Nonce, epochText(next), next.Nonce, members)
	if err != nil {
		return false, err
	}
	return reply == int64(1), nil
}

// epochText returns the epoch as it is in the store. Scripts compare it as text, because their numbers are not exact.
func epochText(v *membership.View) string { return strconv.FormatUint(v.Epoch, 10) }

// leaveScript forgets a replica.
var leaveScript = redis.NewScript(`
redis.call('DEL', KEYS[1])
redis.call('SREM', KEYS[2], ARGV[1])
return 1`)

// Leave implements [membership.Registry].
func (s *Store) Leave(ctx context.Context, id string) error {
	_, err := s.run(ctx, opLeave, leaveScript, []string{s.key(memberPrefix + id), s.key(membersKey)}, id)
	return err
}
