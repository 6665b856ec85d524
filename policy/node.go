package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxNode is the longest id of a proxy, in bytes. It comes back in keys, logs and pages.
const MaxNode = 256

// MaxName is the longest name of an upstream, in bytes.
const MaxName = longestName

// NamesNode tells whether a breaker can be called after a proxy of this id: one that people
// can read. It is never cut, since two proxies must not become one.
func NamesNode(id string) bool {
	return id != "" && len(id) <= MaxNode && utf8.ValidString(id) &&
		!strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) })
}
