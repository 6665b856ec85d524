package feed

import (
	"bytes"

	"breakwater.dev/breaker"
	"breakwater.dev/feed/internal/clock"
	"breakwater.dev/feed/internal/entry"
	"breakwater.dev/feed/internal/suspects"
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
	entry       entry.Entry
	hurry       bool                 // there is more to count than time for it
	hurried     map[*breaker.Key]int // how many entries were read of each breaker, of a message in a hurry
	corrections []correction         // in the order in which they are due
	suspect     *suspects.Suspect    // which became one by a message of this stream; nil: none
}

func newWorker(s *Server, n *node, upstream string) *worker {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &worker{
		server: s, node: n, clock: n.clock.Add(s.options.Now()), upstream: upstream,
		batch: batch{byBreaker: map[*breaker.Key]int{}}, hurried: map[*breaker.Key]int{},
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
	for e, err := range m.EntriesWhere(w.wanted(t)) {
		if err != nil {
			return err
		}
		mark, err := e.Metadata(wire.Namespace, wire.ProbeKey)
		if err != nil {
			return err
		}
		w.entry = entry.Entry{Entry: e}
		if m.TCP {
			w.connection(t.upstreams[w.upstream], arrived)
			continue
		}
		if len(mark) > 0 {
			w.entry.Process, w.entry.Probe = wire.ProbeOf(mark)
		}
		if err := w.readTag(); err != nil {
			return err
		}
		to, kind := t.route(e.Route)
		w.request(to, kind, arrived)
	}
	return nil
}

// hurriedEntries is how many entries of each breaker are read of a message that is late.
const hurriedEntries = 4

// wanted returns which entries of a message to read, by their routes; nil: all. In a hurry these are only some of each breaker, so
// that a flood about one breaker does not delay the others. It is as if the proxy had dropped the other entries: which they
// are does not depend on how the requests ended. Streams of connections have one breaker each.
func (w *worker) wanted(t *table) func(route []byte) bool {
	if !w.hurry || w.upstream != "" {
		return nil
	}
	clear(w.hurried)
	var last []byte // most entries of a flood have one route
	var to *target
	return func(route []byte) bool {
		if last == nil || !bytes.Equal(route, last) {
			to, _ = t.route(route)
			last = route
		}
		if to == nil {
			w.server.counts.skipped.Add(1)
			return false
		}
		n := w.hurried[to.breaker]
		if n == hurriedEntries {
			w.server.counts.dropped.Add(1)
			return false
		}
		w.hurried[to.breaker] = n + 1
		return true
	}
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
