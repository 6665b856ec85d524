package fleet

import (
	"hash/maphash"
	"sync"
	"time"

	"breakwater.dev/bench/fleet/internal/bootstrap"
	"breakwater.dev/bench/fleet/internal/xdswire"
)

// content is the keys of a runtime layer. Proxies that received the same bytes share it. It is immutable.
type content map[string]bool

// contents finds the content of a layer by its bytes. It is safe for concurrent use.
type contents struct {
	seed maphash.Seed

	mu   sync.Mutex
	all  map[uint64]content
	keys int // in all of them
}

// maxKeys bounds the keys that are remembered for proxies that have yet to receive the same bytes.
const maxKeys = 1_000_000

func (c *contents) of(body []byte) (content, error) {
	sum := maphash.Bytes(c.seed, body)
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.all[sum]; ok {
		return known, nil
	}
	fresh := content{}
	if err := xdswire.LayerKeys(body, func(key []byte) { fresh[string(key)] = true }); err != nil {
		return nil, err
	}
	if c.keys > maxKeys {
		clear(c.all)
		c.keys = 0
	}
	c.all[sum] = fresh
	c.keys += len(fresh)
	return fresh, nil
}

// layer is a runtime layer in a proxy.
type layer struct {
	bootstrap.Layer
	version  uint32 // absent, awaited, or the number of a version
	answered bool   // a response about the layer has come
	content  content
	expires  time.Time // zero: never
}

// take applies a resource that came in a response, and reports whether it only renews the layer. wrong says why the proxy
// refuses it; empty: it takes it.
func (l *layer) take(r *xdswire.Resource, version uint32, c *contents, now time.Time) (renews bool, wrong string) {
	renews = l.version == version && r.TTL > 0
	if r.Body == nil {
		if l.version != version {
			return false, "a response without a resource renews a version that the proxy does not have"
		}
	} else {
		content, err := c.of(r.Body)
		if err != nil {
			return false, err.Error()
		}
		l.content = content
	}
	l.version, l.answered, l.expires = version, true, time.Time{}
	if r.TTL > 0 {
		l.expires = now.Add(r.TTL)
	}
	return renews, ""
}

// drop forgets the layer, which was removed or has expired.
func (l *layer) drop() { l.version, l.content, l.expires = awaited, nil, time.Time{} }
