package endpoints

import (
	"hash/crc32"
	"maps"
	"slices"
)

// parts is how many maps a byName has. A change of one name copies one map, so its cost hardly grows with the number of
// names.
const parts = 256

// byName is a map by the names of upstreams, in parts by the hash of the name. Copies of it share the parts. The zero value
// is empty.
type byName[V any] [parts]map[string]V // a part without names is nil

func part(name string) uint32 { return crc32.ChecksumIEEE([]byte(name)) % parts }

func (b *byName[V]) get(name string) (v V, found bool) {
	v, found = b[part(name)][name]
	return v, found
}

// put sets the value of a name. No copy of b may share its parts. room is how many names a new part has room for.
func (b *byName[V]) put(name string, v V, room int) {
	at := part(name)
	if b[at] == nil {
		b[at] = make(map[string]V, room)
	}
	b[at][name] = v
}

// replace sets the value of a name, and leaves all copies of b alone.
func (b *byName[V]) replace(name string, v V) {
	at := part(name)
	b[at] = maps.Clone(b[at])
	b.put(name, v, 1)
}

// remove removes a name, and leaves all copies of b alone.
func (b *byName[V]) remove(name string) {
	at := part(name)
	b[at] = maps.Clone(b[at])
	if delete(b[at], name); len(b[at]) == 0 {
		b[at] = nil
	}
}

// names returns all names, sorted.
func (b *byName[V]) names() []string {
	var all []string
	for _, part := range b {
		all = slices.AppendSeq(all, maps.Keys(part))
	}
	slices.Sort(all)
	return all
}
