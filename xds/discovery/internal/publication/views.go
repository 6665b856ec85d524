package publication

import (
	"crypto/sha256"
	"fmt"

	"breakwater.dev/internal/lockorder"
	"breakwater.dev/xds/discovery/internal/node"
)

// View stands for all proxies that say the same about what they call, where they listen and to which workload they belong.
// They get the same resources.
type View struct {
	node    node.Node // without what only one proxy has
	key     string
	streams int // guarded by the lock of the views
}

// Views are the views of the streams that are open. The zero value has none. They are safe for concurrent use.
type Views struct {
	mu  lockorder.Mutex[lockorder.DiscoveryLeaf]
	all map[string]*View // by key
}

// keyOf names the view of a node. An empty list and nil (all) give different keys, and names are quoted, so that no node gets
// the view of others by a crafted name.
func keyOf(n node.Node) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %s %t %q", n.Cluster, n.Listen, n.Upstreams == nil, n.Upstreams))
	return string(sum[:])
}

// Join returns the view of a stream's proxy.
func (v *Views) Join(n node.Node) *View {
	key := keyOf(n)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.all == nil {
		v.all = map[string]*View{}
	}
	if v.all[key] == nil {
		v.all[key] = &View{node: node.Node{Cluster: n.Cluster, Listen: n.Listen, Upstreams: n.Upstreams}, key: key}
	}
	v.all[key].streams++
	return v.all[key]
}

// leave removes a stream from its view, and reports whether it was the last one.
func (v *Views) leave(view *View) (last bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	view.streams--
	if last = view.streams == 0; last {
		delete(v.all, view.key)
	}
	return last
}

// list returns all views.
func (v *Views) list() []*View {
	v.mu.Lock()
	defer v.mu.Unlock()
	all := make([]*View, 0, len(v.all))
	for _, view := range v.all {
		all = append(all, view)
	}
	return all
}

// isOpen reports whether a view has streams.
func (v *Views) isOpen(view *View) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.all[view.key] == view
}
