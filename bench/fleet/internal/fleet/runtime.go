package fleet

import (
	"context"

	"breakwater.dev/bench/fleet/internal/xdswire"
)

// runtime serves the stream of one runtime layer until it ends.
func (p *proxy) runtime(ctx context.Context, l *layer) error {
	x := exchange{method: deltaRuntime}
	read, write := xdswire.ReadDelta, (*xdswire.Request).Delta
	var version string // the version of the last response that was taken, in SotW
	delta := l.Delta && !p.variant.Sotw
	if !delta {
		x.method, read, write = sotwRuntime, xdswire.ReadSotw, (*xdswire.Request).Sotw
	}
	x.first = func() [][]byte {
		first := xdswire.Request{Node: p.node, TypeURL: xdswire.Runtime, Names: []string{l.Name}}
		p.mu.Lock()
		defer p.mu.Unlock()
		if l.version >= firstVersion {
			version = p.fleet.versions.text(l.version)
			first.Version = version
			first.Initial = func(yield func(name, version string) bool) { yield(l.Name, version) }
		}
		return [][]byte{write(&first)}
	}
	x.take = func(response []byte) ([][]byte, error) {
		r := newResponse()
		defer free(r)
		if err := read(response, r); err != nil {
			return nil, err
		}
		request := xdswire.Request{TypeURL: xdswire.Runtime, Nonce: string(r.Nonce)}
		if request.Refusal = p.takeLayers(r, len(response), []*layer{l}); request.Refusal != "" {
			p.counts.refused.Add(1)
		} else {
			version = string(r.Version)
		}
		if !delta {
			request.Names, request.Version = []string{l.Name}, version
		}
		return [][]byte{write(&request)}, nil
	}
	return p.converse(ctx, x)
}
