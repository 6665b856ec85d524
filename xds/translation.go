package xds

import (
	"breakwater.dev/policy"
	"breakwater.dev/xds/internal/message"
)

// Translation translates one set for proxies with different listeners and upstreams. The proxies share the resources that
// are the same for them. It is not safe for concurrent use.
type Translation struct {
	set *policy.Set
	// The resources made so far, by the names of their parts. All proxies share the common ones; proxies that listen at the
	// same address or call the same upstreams share variants.
	common, variants map[string]*Resource
	bytes            int // the bytes of the variants
}

// maxVariants bounds the bytes of the variants. Beyond it they are dropped, and made again when a proxy needs them.
const maxVariants = 16 << 20

// NewTranslation returns a translation of set, which must not be changed.
func NewTranslation(set *policy.Set) *Translation {
	return &Translation{set: set, common: map[string]*Resource{}, variants: map[string]*Resource{}}
}

// draft collects the resources of one proxy.
type draft struct {
	rs          Resources
	translation *Translation
	own         int // see [Translation.For]
}

// share adds a resource that all proxies share, and makes it if it is not there yet. Equal parts make equal resources.
func (d *draft) share(parts, name string, build func() (message.Valid, error)) error {
	r, err := made(d.translation.common, parts, name, build)
	if err != nil {
		return err
	}
	return d.rs.add(r)
}

// vary adds a resource that proxies with the same parts share.
func (d *draft) vary(parts, name string, build func() (message.Valid, error)) error {
	r, own, err := d.translation.variant(parts, name, build)
	if err != nil {
		return err
	}
	d.own += own
	return d.rs.add(r)
}

// variant returns a resource that proxies with the same parts share, and how many bytes it had to make for it.
func (t *Translation) variant(parts, name string, build func() (message.Valid, error)) (r *Resource, own int, err error) {
	if t.bytes > maxVariants {
		clear(t.variants)
		t.bytes = 0
	}
	before := len(t.variants)
	r, err = made(t.variants, parts, name, build)
	if err == nil && len(t.variants) > before {
		own = len(parts) + len(r.Body.GetValue())
		t.bytes += own
	}
	return r, own, err
}

// made returns a resource out of all, and makes it if it is not there.
func made(all map[string]*Resource, parts, name string, build func() (message.Valid, error)) (*Resource, error) {
	if r := all[parts]; r != nil {
		return r, nil
	}
	m, err := build()
	if err != nil {
		return nil, err
	}
	r, err := newResource(name, m)
	if err != nil {
		return nil, err
	}
	all[parts] = r
	return r, nil
}
