package policy

import (
	"crypto/sha256"
	"reflect"
	"slices"

	"breakwater.dev/policy/internal/view"
)

// Fingerprint is a hash of what a part of a policy means. Where it was written does not count.
type Fingerprint [sha256.Size]byte

// identity is the fingerprint of an upstream. It does not hold for a copy of the upstream.
type identity struct {
	of          *Upstream
	fingerprint Fingerprint
}

// Fingerprint returns a hash of all fields, apart from the origins of the upstream and of its breakers. It is the
// same in every process of this version. For an upstream of a compiled set it costs nothing. For any other,
// such as a changed copy, it is computed at each call.
func (u *Upstream) Fingerprint() Fingerprint {
	if u.own.of == u {
		return u.own.fingerprint
	}
	return fingerprint(u)
}

// meaning encodes upstreams without their origins.
var meaning = view.NewEncoding(reflect.TypeFor[Upstream](),
	reflect.TypeFor[Origin](), reflect.TypeFor[[]Origin](), reflect.TypeFor[identity]())

func fingerprint(u *Upstream) Fingerprint {
	return sha256.Sum256(meaning.Append(make([]byte, 0, 2048), reflect.ValueOf(u).Elem()))
}

// hasOriginsOf reports whether u has the same origins as another upstream with the same meaning.
func (u *Upstream) hasOriginsOf(other *Upstream) bool {
	return u.Origin == other.Origin && slices.EqualFunc(u.Routes, other.Routes, func(a, b Route) bool {
		return a.Breaker == nil || slices.Equal(a.Breaker.Origins, b.Breaker.Origins)
	})
}
