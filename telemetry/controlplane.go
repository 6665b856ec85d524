package telemetry

import (
	"errors"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater.dev/policy"
)

// ownDesc describes a metric of the control plane itself.
func ownDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("breakwater_"+name, help, labels, nil)
}

var (
	buildDesc = ownDesc("build_info", "Always 1; the label has the version of this control plane.", "version")

	policyDesc      = ownDesc("policy_info", "Always 1; the label has the revision of the policy in force. Absent before the first is.", "revision")
	reloadDesc      = ownDesc("reload_total", "Loads of the policy, the one at start included, by what became of them.", "result")
	reloadOKDesc    = ownDesc("reload_last_successful", "Whether the last load of the policy succeeded: 1 yes, 0 no, and the policy before stays in force.")
	reloadTimeDesc  = ownDesc("reload_last_success_timestamp_seconds", "When the policy in force was loaded, in seconds since 1970. 0 before the first is.")
	reloadFaultDesc = ownDesc("reload_problems", "Problems found by the last load of the policy; 0 when it succeeded.")

	byHandDesc = ownDesc("changes_by_hand_total", "Attempts to change a breaker by hand, by what became of them.", "result")

	nodesDesc     = ownDesc("xds_nodes", "Proxies that are connected.")
	outdatedDesc  = ownDesc("xds_outdated_nodes", "Connected proxies whose Envoy is older than is supported.")
	duplicateDesc = ownDesc("xds_duplicate_nodes", "Node ids that two or more connected proxies have. Each has to have its own.")
	refusingDesc  = ownDesc("xds_refusing_nodes", "Connected proxies that refused what they were last sent, by type of resource.", "type")
	nacksDesc     = ownDesc("xds_nacks_total", "Responses that proxies refused, by type of resource.", "type")
	pushesDesc    = ownDesc("xds_pushes_total", "Responses sent to proxies, by type of resource.", "type")
	pushBytesDesc = ownDesc("xds_push_bytes_total", "Bytes of the resources sent to proxies, by type of resource.", "type")

	handshakeDesc = ownDesc("tls_handshake_failures_total", "TLS handshakes that failed, on all ports, by reason. The log names the peer, and its certificate where it showed one.", "reason")

	storeKeptDesc     = ownDesc("store_enabled", "Whether breakers are kept over a restart: 1 yes, 0 no. The other metrics of the store are absent then.")
	storeWritesDesc   = ownDesc("store_writes_total", "Writes of the state of breakers that succeeded.")
	storeFailuresDesc = ownDesc("store_failures_total", "Writes of the state of breakers that failed. Until one succeeds, a restart may close open breakers early.")
	storeBytesDesc    = ownDesc("store_written_bytes_total", "Bytes written for the state of breakers.")
	storeTimeDesc     = ownDesc("store_last_success_timestamp_seconds", "When what is kept was last known to be the state of breakers, in seconds since 1970; renewed each minute while all is well. 0 before the first time.")

	streamsDesc   = ownDesc("extproc_streams", "Open ext_proc streams; each is one request in flight.")
	decisionsDesc = ownDesc("extproc_decisions_total", "Requests that a breaker decided on.", "decision")
	unknownDesc   = ownDesc("extproc_unknown_breakers_total", "Requests that named a breaker which the policy does not have. They were let through.")
	errorsDesc    = ownDesc("extproc_errors_total", "Streams that a fault ended, not the end of their request.")

	feedStreamsDesc  = ownDesc("feed_streams", "Open streams of access logs; each is one log of a proxy.")
	feedMessagesDesc = ownDesc("feed_messages_total", "Messages of access logs that were received.")
	feedBytesDesc    = ownDesc("feed_bytes_total", "Bytes of the messages of access logs that were received.")
	feedEntriesDesc  = ownDesc("feed_entries_total", "Entries of access logs, by what became of them: reported told a breaker of an outcome, rejected told it of calls that the proxy rejected, skipped had nothing to tell, invalid could not be read, dropped came faster than they could be taken, refused told of an upstream that their proxy does not say it calls.", "result")

	peersRefusedDesc = ownDesc("proxies_refused_total", "Connections and streams that were refused, by service and reason; see the operations page.", "service", "reason")
	peersHeldDesc    = ownDesc("proxies_held_bytes", "What proxies hold in the control plane, by estimate: connections, streams, and what is on its way to them.")
	peersMostDesc    = ownDesc("proxies_held_limit_bytes", "How much proxies may hold in the control plane (--proxy-memory).")

	gatesDesc   = ownDesc("gates", "Gates that stand in proxies now, by kind: open rejects all calls, probing lets a share of them ask for permits, ramping rejects a share and lets the others through, connections bounds the connections of an upstream that speaks TCP. A gate in one proxy alone counts as one.", "kind")
	layerDesc   = ownDesc("gate_layer_bytes", "Size of the runtime layer of proxies that have no gates of their own.")
	refusedDesc = ownDesc("gate_rollouts_refused_total", "Changes of the gates that a proxy refused.")
	waitingDesc = ownDesc("gate_rollouts_waiting", "Changes of the gates that not every proxy has answered yet.")
)

// controlPlaneCollector collects the metrics of the control plane itself.
type controlPlaneCollector struct{ *Telemetry }

// Describe implements [prometheus.Collector].
func (controlPlaneCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		buildDesc, policyDesc, reloadDesc, reloadOKDesc, reloadTimeDesc, reloadFaultDesc, byHandDesc,
		nodesDesc, outdatedDesc, duplicateDesc, refusingDesc, nacksDesc, pushesDesc, pushBytesDesc, handshakeDesc,
		storeKeptDesc, storeWritesDesc, storeFailuresDesc, storeBytesDesc, storeTimeDesc,
		streamsDesc, decisionsDesc, unknownDesc, errorsDesc,
		feedStreamsDesc, feedMessagesDesc, feedBytesDesc, feedEntriesDesc,
		peersRefusedDesc, peersHeldDesc, peersMostDesc,
		gatesDesc, layerDesc, refusedDesc, waitingDesc,
	} {
		ch <- d
	}
}

// emitter sends metrics of the two simple kinds.
type emitter chan<- prometheus.Metric

func (e emitter) gauge(desc *prometheus.Desc, v float64, labels ...string) {
	e <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
}

func (e emitter) counter(desc *prometheus.Desc, v uint64, labels ...string) {
	e <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(v), labels...)
}

// Collect implements [prometheus.Collector].
func (c controlPlaneCollector) Collect(ch chan<- prometheus.Metric) {
	e := emitter(ch)
	e.gauge(buildDesc, 1, c.options.Version)
	e.reloads(c.reloads.now())
	byHand := c.audit.Counts()
	e.counter(byHandDesc, byHand.Done, "done")
	e.counter(byHandDesc, byHand.Refused, "refused")
	e.counter(byHandDesc, byHand.Unauthorized, "unauthorized")
	e.xds(c.options.XDS())
	failed := c.options.Handshakes()
	for _, reason := range HandshakeReasons() {
		e.counter(handshakeDesc, failed[reason], reason)
	}
	e.store(c.options.Store())
	e.extproc(c.options.Extproc())
	e.feed(c.options.Feed())
	e.peers(c.options.Peers())
	e.gates(c.options.Gates())
}

func (e emitter) peers(s PeerStatus) {
	for _, r := range s.Refused {
		e.counter(peersRefusedDesc, r.Total, r.Service, r.Reason)
	}
	e.gauge(peersHeldDesc, float64(s.Held))
	e.gauge(peersMostDesc, float64(s.Most))
}

func (e emitter) extproc(s ExtprocStatus) {
	e.gauge(streamsDesc, float64(s.Streams))
	e.counter(decisionsDesc, s.Admitted, "admitted")
	e.counter(decisionsDesc, s.Rejected, "rejected")
	e.counter(unknownDesc, s.UnknownBreakers)
	e.counter(errorsDesc, s.Errors)
}

func (e emitter) feed(s FeedStatus) {
	e.gauge(feedStreamsDesc, float64(s.Streams))
	e.counter(feedMessagesDesc, s.Messages)
	e.counter(feedBytesDesc, s.Bytes)
	e.counter(feedEntriesDesc, s.Reported, "reported")
	e.counter(feedEntriesDesc, s.Rejected, "rejected")
	e.counter(feedEntriesDesc, s.Skipped, "skipped")
	e.counter(feedEntriesDesc, s.Invalid, "invalid")
	e.counter(feedEntriesDesc, s.Dropped, "dropped")
	e.counter(feedEntriesDesc, s.Refused, "refused")
}

func (e emitter) gates(s GateStatus) {
	e.gauge(gatesDesc, float64(s.Open), "open")
	e.gauge(gatesDesc, float64(s.Probing), "probing")
	e.gauge(gatesDesc, float64(s.Ramping), "ramping")
	e.gauge(gatesDesc, float64(s.Connections), "connections")
	e.gauge(layerDesc, float64(s.LayerBytes))
	e.counter(refusedDesc, s.Refused)
	e.gauge(waitingDesc, float64(s.Waiting))
}

// newPropagation makes the histogram of how long gates take. The first bounds are
// close together around what it usually is, which is 2 ms.
func newPropagation() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "breakwater_gate_propagation_seconds",
		Help: "Time from a breaker's change of state until all proxies that were connected then have acknowledged the gates that follow from it. " +
			"What a proxy refused is not observed.",
		Buckets: []float64{0.001, 0.0015, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5, 10},
	})
}

func (e emitter) store(s StoreStatus) {
	if !s.Kept {
		e.gauge(storeKeptDesc, 0)
		return
	}
	e.gauge(storeKeptDesc, 1)
	e.counter(storeWritesDesc, s.Writes)
	e.counter(storeFailuresDesc, s.Failures)
	e.counter(storeBytesDesc, s.Bytes)
	last := 0.0
	if !s.LastSuccess.IsZero() {
		last = float64(s.LastSuccess.UnixMilli()) / 1e3
	}
	e.gauge(storeTimeDesc, last)
}

func (e emitter) reloads(r reloadState) {
	loaded, ok := 0.0, 1.0
	if r.revision != "" {
		e.gauge(policyDesc, 1, r.revision)
		loaded = float64(r.loadedAt.UnixMilli()) / 1e3
	}
	if r.refusal != nil || r.lastAt.IsZero() {
		ok = 0
	}
	e.counter(reloadDesc, r.succeeded, "success")
	e.counter(reloadDesc, r.refused, "refused")
	e.gauge(reloadOKDesc, ok)
	e.gauge(reloadTimeDesc, loaded)
	e.gauge(reloadFaultDesc, float64(problems(r.refusal)))
}

// problems counts what is wrong by err.
func problems(err error) int {
	var ds policy.Diagnostics
	switch {
	case err == nil:
		return 0
	case errors.As(err, &ds):
		return len(ds)
	default:
		return 1
	}
}

func (e emitter) xds(x XDSStatus) {
	outdated, duplicate, refusing := 0, 0, map[string]int{}
	for _, n := range x.Nodes {
		if n.Outdated {
			outdated++
		}
		if n.Duplicate {
			duplicate++
		}
		for _, ts := range n.Types {
			if ts.NACK != nil {
				refusing[ts.Type]++
			}
		}
	}
	e.gauge(nodesDesc, float64(len(x.Nodes)))
	e.gauge(outdatedDesc, float64(outdated))
	e.gauge(duplicateDesc, float64(duplicate))
	for _, tt := range x.Totals {
		label := typeLabel(tt.Type)
		e.gauge(refusingDesc, float64(refusing[tt.Type]), label)
		e.counter(nacksDesc, tt.NACKs, label)
		e.counter(pushesDesc, tt.Pushes, label)
		e.counter(pushBytesDesc, tt.PushBytes, label)
	}
}

// typeLabel returns the last word of a type URL, such as "Cluster".
func typeLabel(url string) string { return url[strings.LastIndexByte(url, '.')+1:] }
