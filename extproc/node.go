package extproc

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/structpb"

	"breakwater.dev/breaker"
)

const (
	// attributesName is where Envoy files the attributes of every ext_proc filter,
	// whatever the filter is called.
	attributesName = "envoy.filters.http.ext_proc"
	// nodeAttribute is node.id of the proxy's bootstrap; routes of breakers in a scope of nodes send it.
	nodeAttribute = "xds.node.id"
	// maxNode is the longest id, in bytes, that names a breaker. It comes back in
	// keys, logs and pages.
	maxNode = 256
)

// breakerFor returns the breaker to ask. A proxy that does not say who it is, or says
// it in a way that nobody could read, shares the breaker of the key with its like.
func (r *route) breakerFor(attributes map[string]*structpb.Struct, now breaker.Instant) *breaker.Breaker {
	if r.nodes == nil {
		return r.breaker
	}
	id := attributes[attributesName].GetFields()[nodeAttribute].GetStringValue()
	if !namesNode(id) {
		return r.breaker
	}
	if b := r.nodes.Node(r.key, id, now); b != nil {
		return b
	}
	return r.breaker // the policy has just changed, and the engine no longer has the key
}

// namesNode tells whether a breaker can be called after the id. It is never cut: two
// proxies must not become one.
func namesNode(id string) bool {
	return id != "" && len(id) <= maxNode && utf8.ValidString(id) &&
		!strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) })
}
