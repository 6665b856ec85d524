package feed

import (
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/guard"
	"breakwater.dev/wire"
)

// worker takes the messages of one stream.
type worker struct {
	server *Server
	node   *node
	clock  *clock // guarded by the node
	peer   *guard.Peer
	// upstream is where the connections of the stream are to.
	upstream string
	batch    batch
	entry    entry
	late     []late // in order of due
}

// late is what a message tells of a call that had a permit.
type late struct {
	due     breaker.Instant
	of      *target
	breaker *breaker.Breaker
	told    breaker.Reported
}

// settling is how long corrections wait, so that the stream on which the call had asked, which
// ended no later, has settled it by then.
const settling = 100 * time.Millisecond

// maxLate is how many corrections of one stream wait at most.
const maxLate = 16_384

func newWorker(s *Server, n *node, upstream string) *worker {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &worker{
		server: s, node: n, clock: n.clocks.stream(s.options.Now()), upstream: upstream,
		batch: batch{byBreaker: map[*breaker.Breaker]int{}},
	}
}

// leave says that the stream has ended.
func (w *worker) leave() {
	w.node.mu.Lock()
	defer w.node.mu.Unlock()
	w.node.clocks.leave(w.clock)
	w.node.streams--
	w.node.left = w.server.options.Now()
}

// take tells of everything in a message that arrived now. An error says that it cannot be read;
// what was read of it counts.
func (w *worker) take(m *message, arrived breaker.Instant) error {
	w.batch.reset()
	t := w.server.table.Load()
	err := w.read(t, m, arrived)
	now := w.server.options.Now()
	for i := range w.batch.groups {
		g := &w.batch.groups[i]
		if g.rejected > 0 {
			g.breaker.Rejected(g.rejected, now)
		}
		for _, probe := range g.uploading {
			g.breaker.ReleaseProbe(probe, now)
		}
		if len(g.outcomes) > 0 {
			w.observe(g)
			g.breaker.Report(g.outcomes, now)
		}
	}
	for _, j := range w.batch.judged {
		w.server.options.Endpoints(j.upstream, j.outcomes)
	}
	return err
}

// observe tells how long calls took.
func (w *worker) observe(g *group) {
	for i := range g.outcomes {
		if o := &g.outcomes[i]; o.Outcome != breaker.Ignored && o.Outcome != breaker.Abandoned {
			n := uint64(1)
			if !g.of.certain(o.Outcome, o.Duration) {
				n = uint64(max(o.OneIn, 1))
			}
			w.server.options.Observe(g.of.key, o.Duration, o.Lasted, n)
		}
	}
}

func (w *worker) read(t *table, m *message, arrived breaker.Instant) error {
	w.node.mu.Lock()
	defer w.node.mu.Unlock()
	err := entries(m.http, func(data []byte) error {
		if err := w.entry.read(data); err != nil {
			return err
		}
		to, kind := t.route(w.entry.route)
		w.call(to, kind, arrived)
		return nil
	})
	if err != nil {
		return err
	}
	return entries(m.tcp, func(data []byte) error {
		if err := w.entry.read(data); err != nil {
			return err
		}
		w.connection(t.upstreams[w.upstream], arrived)
		return nil
	})
}

// call takes the entry of an HTTP call.
func (w *worker) call(to *target, kind wire.RouteKind, arrived breaker.Instant) {
	e, counts := &w.entry, &w.server.counts
	if e.kind == downstreamPeriodic {
		w.running(to, kind, arrived)
		return
	}
	at := w.node.clocks.at(w.clock, e.start+e.took, arrived)
	if to == nil {
		counts.skipped.Add(1)
		return
	}
	if !w.may(to) {
		return
	}
	chosen := w.node.timeline.sampled(at.Add(-max(e.took, 0)), to.key)
	of := to.breakerFor(w.node.id, w.peer.Name(), arrived)
	if kind == wire.RouteRejected { // the breaker has counted it
		counts.rejected.Add(1)
		w.answered(to, 1)
		return
	}
	if kind == wire.RouteCounted {
		counts.rejected.Add(1)
		w.answered(to, chosen.rejected)
		w.node.meter(to.key).rejected.calls += uint64(chosen.rejected)
		w.batch.group(to, of).rejected += uint64(chosen.rejected)
		return
	}
	w.explain(to, arrived)
	x := e.ending(&to.rules)
	told := breaker.Reported{Outcome: x.Outcome(&to.rules), At: at, Duration: x.Took, Lasted: x.Lasted}
	told.Unsent = x.Unsent() && e.attempts <= 1
	if asked(kind) {
		w.correct(to, of, &x, &told, arrived)
		return
	}
	certain := to.certain(told.Outcome, x.Took)
	if kind == wire.RouteClosed && !certain {
		counts.skipped.Add(1)
		return
	}
	n := uint32(1)
	if !certain {
		n = chosen.through
	}
	counts.reported.Add(1)
	w.node.meter(to.key).through.calls += uint64(n)
	told.OneIn = n
	if certain { // it stands for itself, but others may have gone unseen before it
		told.OneIn = chosen.sparsest
	}
	w.tell(to, of, &told)
	w.endpoint(to, &x, &told, n)
}

// asked reports whether calls on routes of a kind had asked the control plane, which knows what was known at their
// headers.
func asked(kind wire.RouteKind) bool { return kind == wire.RouteWhole || kind == wire.RouteProbe }

// may reports whether an entry counts: its proxy says that it calls the upstream.
func (w *worker) may(to *target) bool {
	if w.peer.May(to.key.Upstream) {
		return true
	}
	w.server.counts.refused.Add(1)
	w.peer.RefuseReport(guard.AccessLog, to.key.Upstream)
	return false
}

// correct tells of a call that had a permit, where it ended otherwise than it seemed at its headers.
func (w *worker) correct(to *target, of *breaker.Breaker, x *wire.Ending, told *breaker.Reported, arrived breaker.Instant) {
	settled := x.Settled(&to.rules)
	if !x.Corrects(settled, told.Outcome) || !to.certain(told.Outcome, x.Took) {
		w.server.counts.skipped.Add(1)
		return
	}
	w.server.counts.reported.Add(1)
	told.Corrects, told.Was, told.Probe = true, settled, x.Probe
	if told.Settled = told.At; x.Probe || to.slow > 0 && x.Took >= to.slow {
		told.Settled = told.At.Add(min(w.entry.headers-x.Lasted, 0)) // at its headers
	}
	w.late = append(w.late, late{arrived.Add(settling), to, of, *told})
}

// settle tells of the corrections that are due, or that are too many, and returns when the next one is; ok is false
// where there is none.
func (w *worker) settle(now breaker.Instant) (next breaker.Instant, ok bool) {
	n := 0
	for ; n < len(w.late) && (w.late[n].due <= now || n < len(w.late)-maxLate); n++ {
		l := &w.late[n]
		if l.told.Outcome.Failed() && l.told.Was == breaker.Ignored {
			w.server.options.Observe(l.of.key, l.told.Duration, l.told.Lasted, 1)
		}
		l.breaker.Report([]breaker.Reported{l.told}, now)
	}
	w.late = append(w.late[:0], w.late[n:]...)
	if len(w.late) == 0 {
		return 0, false
	}
	return w.late[0].due, true
}

// running hears of a call that has not ended: of a probe without a response. As long as its
// request has not ended, it is the caller's time that passes, and others may probe.
func (w *worker) running(to *target, kind wire.RouteKind, arrived breaker.Instant) {
	e := &w.entry
	w.server.counts.skipped.Add(1)
	if to == nil || !w.peer.May(to.key.Upstream) || !asked(kind) || e.probe == 0 || e.process != w.server.options.Process || e.requestEnd >= 0 || wire.IsUpgrade(e.upgrade) {
		return
	}
	g := w.batch.group(to, to.breakerFor(w.node.id, w.peer.Name(), arrived))
	g.uploading = append(g.uploading, e.probe)
}

func (w *worker) tell(to *target, of *breaker.Breaker, told *breaker.Reported) {
	g := w.batch.group(to, of)
	g.outcomes = append(g.outcomes, *told)
}

// answered tells what rejected calls got, where that is not known before.
func (w *worker) answered(to *target, n uint32) {
	if to.cached {
		w.server.options.Answered(to.key, wire.DetailsOf(w.entry.details) == wire.Copied, uint64(n))
	}
}

// endpoint tells of a call's endpoint, where the mesh judges it.
func (w *worker) endpoint(to *target, x *wire.Ending, told *breaker.Reported, n uint32) {
	e := &w.entry
	if to.upstream == "" || !e.remote.IsValid() || told.Outcome == breaker.Ignored || told.Outcome == breaker.Abandoned {
		return
	}
	o := EndpointOutcome{Endpoint: e.remote, Status: x.HTTPStatus(), At: told.At, Calls: n, OneIn: told.OneIn}
	o.Local = told.Outcome.Failed() && x.Flags&(wire.Timeouts|wire.StreamIdle|wire.ConnectFailure|wire.Cuts) != 0
	w.batch.endpoint(to.upstream, o)
}

// connection takes an entry of a connection.
func (w *worker) connection(to *target, arrived breaker.Instant) {
	e, counts := &w.entry, &w.server.counts
	at := w.node.clocks.at(w.clock, e.start+e.took, arrived)
	if to == nil {
		counts.skipped.Add(1)
		return
	}
	if !w.may(to) {
		return
	}
	w.explain(to, arrived)
	what := e.connection()
	links := w.node.linksTo(to.key.Upstream)
	links.attempt = to.attempt()
	links.take(e, what, arrived)
	g := w.batch.group(to, to.breakerFor(w.node.id, w.peer.Name(), arrived))
	switch what {
	case nothing:
		counts.skipped.Add(1)
		return
	case turnedAway:
		counts.rejected.Add(1)
		w.node.meter(to.key).rejected.calls++
		g.rejected++
		return
	}
	outcome := map[connected]breaker.Outcome{established: breaker.Success, failed: breaker.Failure, timedOut: breaker.Timeout}[what]
	counts.reported.Add(1)
	w.node.meter(to.key).through.calls++
	g.outcomes = append(g.outcomes, breaker.Reported{Outcome: outcome, At: at, Lasted: max(e.took, 0), Probe: true, Unsent: e.flags.Unsent()})
	if to.upstream != "" && e.remote.IsValid() {
		w.batch.endpoint(to.upstream, EndpointOutcome{Endpoint: e.remote, Local: outcome.Failed(), At: at, Calls: 1, OneIn: 1})
	}
}
