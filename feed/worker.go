package feed

import (
	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/clock"
	"breakwater.dev/internal/alslog"
	"breakwater.dev/internal/guard"
	"breakwater.dev/wire"
)

// worker counts the messages of one stream.
type worker struct {
	server      *Server
	node        *node
	clock       *clock.Stream // guarded by the node
	peer        *guard.Peer
	upstream    string // the upstream of the stream's connections; empty for a stream of requests
	batch       batch
	entry       entry
	corrections []correction // in the order in which they are due
}

func newWorker(s *Server, n *node, upstream string) *worker {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &worker{
		server: s, node: n, clock: n.clock.Add(s.options.Now()), upstream: upstream,
		batch: batch{byBreaker: map[*breaker.Key]int{}},
	}
}

// leave removes the stream from its node.
func (w *worker) leave() {
	w.node.mu.Lock()
	defer w.node.mu.Unlock()
	w.node.clock.Remove(w.clock)
	w.node.streams--
	w.node.left = w.server.options.Now()
}

// take counts all entries of a message that arrived at an instant. The error says that an entry is malformed; the entries before
// it are counted.
func (w *worker) take(m *alslog.Message, arrived breaker.Instant) error {
	w.batch.reset()
	t := w.server.table.Load()
	err := w.read(t, m, arrived)
	now := w.server.options.Now()
	for i := range w.batch.groups {
		g := &w.batch.groups[i]
		if g.rejected > 0 {
			w.server.options.Decider.Rejected(w.subject(g.target), g.rejected, now)
		}
		if len(g.outcomes) > 0 {
			w.observe(g)
			w.report(g, now)
		}
	}
	for i := range w.batch.endpoints {
		of := &w.batch.endpoints[i]
		w.server.options.Endpoints(of.upstream, of.outcomes)
	}
	return err
}

// observe passes on how long the calls of a group took.
func (w *worker) observe(g *group) {
	for i := range g.outcomes {
		if o := &g.outcomes[i]; o.Uploading == 0 && !o.Running && o.Outcome != breaker.Ignored && o.Outcome != breaker.Abandoned {
			n := uint64(1)
			if !o.Early && !g.target.alwaysLogged(o.Outcome, o.Duration) {
				n = uint64(max(o.OneIn, 1))
			}
			w.server.options.Observe(g.target.key, o.Duration, o.Lasted, n)
		}
	}
}

// read adds the entries of a message to the batch.
func (w *worker) read(t *table, m *alslog.Message, arrived breaker.Instant) error {
	w.node.mu.Lock()
	defer w.node.mu.Unlock()
	for e, err := range m.Entries() {
		if err != nil {
			return err
		}
		mark, err := e.Metadata(wire.Namespace, wire.ProbeKey)
		if err != nil {
			return err
		}
		w.entry = entry{Entry: e}
		if m.TCP {
			w.connection(t.upstreams[w.upstream], arrived)
			continue
		}
		if len(mark) > 0 {
			w.entry.process, w.entry.probe = wire.ProbeOf(mark)
		}
		if err := w.readTag(); err != nil {
			return err
		}
		to, kind := t.route(e.Route)
		w.request(to, kind, arrived)
	}
	return nil
}

// ended returns when the call of the entry ended, or when the entry of a call that is running was written. ok is false where the
// entry does not count: it belongs to no breaker, or the proxy is none that calls the upstream.
func (w *worker) ended(to *target, arrived breaker.Instant) (at breaker.Instant, ok bool) {
	at = w.node.clock.At(w.clock, w.entry.End(), arrived)
	if to == nil {
		w.server.counts.skipped.Add(1)
		return at, false
	}
	if !w.peer.May(to.key.Upstream) {
		w.server.counts.refused.Add(1)
		w.peer.RefuseReport(guard.AccessLog, to.key.Upstream)
		return at, false
	}
	return at, true
}

// subject names the breaker that a target has for the proxy of the stream.
func (w *worker) subject(to *target) breaker.Subject {
	s := breaker.Subject{Key: to.key}
	if to.perNode {
		s.Key.Node, s.Owner = w.node.id, w.peer.Name()
	}
	return s
}
