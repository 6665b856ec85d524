package discovery

import (
	"maps"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater.dev/api"
)

var (
	layerBytesDesc      = prometheus.NewDesc("breakwater_gate_layer_bytes", "Size of the runtime layer of proxies that have no gates of their own.", nil, nil)
	rolloutsRefusedDesc = prometheus.NewDesc("breakwater_gate_rollouts_refused_total", "Changes of the gates that a proxy refused.", nil, nil)
	rolloutsWaitingDesc = prometheus.NewDesc("breakwater_gate_rollouts_waiting", "Changes of the gates that not every proxy has answered yet.", nil, nil)

	nodesDesc     = prometheus.NewDesc("breakwater_xds_nodes", "Proxies that are connected.", nil, nil)
	outdatedDesc  = prometheus.NewDesc("breakwater_xds_outdated_nodes", "Connected proxies whose Envoy is older than is supported.", nil, nil)
	duplicateDesc = prometheus.NewDesc("breakwater_xds_duplicate_nodes", "Node ids that two or more connected proxies have. Each has to have its own.", nil, nil)
	refusingDesc  = prometheus.NewDesc("breakwater_xds_refusing_nodes", "Connected proxies that refused what they were last sent, by type of resource.", []string{"type"}, nil)
	nacksDesc     = prometheus.NewDesc("breakwater_xds_nacks_total", "Responses that proxies refused, by type of resource.", []string{"type"}, nil)
	pushesDesc    = prometheus.NewDesc("breakwater_xds_pushes_total", "Responses sent to proxies, by type of resource.", []string{"type"}, nil)
	pushBytesDesc = prometheus.NewDesc("breakwater_xds_push_bytes_total", "Bytes of the resources sent to proxies, by type of resource.", []string{"type"}, nil)
)

// TypeCounts are totals of one resource type since the server was made.
type TypeCounts struct {
	Pushes    uint64 // responses sent
	PushBytes uint64 // bytes of resources in them
	NACKs     uint64 // responses refused
}

// Counts returns the totals by type URL; every type of [xds.Types] is there.
func (s *Server) Counts() map[string]TypeCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}

// Stats are the figures of a server at one instant. They are a [prometheus.Collector] of themselves.
type Stats struct {
	Nodes      []api.Node            // as [Server.Status] returns them
	Types      map[string]TypeCounts // as [Server.Counts] returns them
	LayerBytes int                   // the size of the runtime layer of proxies that have no gates of their own
	Rollouts   RolloutCounts
}

// Describe implements [prometheus.Collector]. All figures are there from the start.
func (s *Server) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements [prometheus.Collector].
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	Stats{s.Status(), s.Counts(), s.layerBytes(), s.rollouts.Counts()}.Collect(ch)
}

// Describe implements [prometheus.Collector].
func (s Stats) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements [prometheus.Collector].
func (s Stats) Collect(ch chan<- prometheus.Metric) {
	outdated, duplicate, refusing := 0, 0, map[string]int{}
	for _, n := range s.Nodes {
		if n.Outdated {
			outdated++
		}
		if n.Duplicate {
			duplicate++
		}
		for _, t := range n.Types {
			if t.NACK != nil {
				refusing[t.Type]++
			}
		}
	}
	ch <- prometheus.MustNewConstMetric(nodesDesc, prometheus.GaugeValue, float64(len(s.Nodes)))
	ch <- prometheus.MustNewConstMetric(outdatedDesc, prometheus.GaugeValue, float64(outdated))
	ch <- prometheus.MustNewConstMetric(duplicateDesc, prometheus.GaugeValue, float64(duplicate))
	ch <- prometheus.MustNewConstMetric(layerBytesDesc, prometheus.GaugeValue, float64(s.LayerBytes))
	ch <- prometheus.MustNewConstMetric(rolloutsRefusedDesc, prometheus.CounterValue, float64(s.Rollouts.Refused))
	ch <- prometheus.MustNewConstMetric(rolloutsWaitingDesc, prometheus.GaugeValue, float64(s.Rollouts.Waiting))
	for typeURL, c := range s.Types {
		label := typeURL[strings.LastIndexByte(typeURL, '.')+1:] // the last word, such as "Cluster"
		ch <- prometheus.MustNewConstMetric(refusingDesc, prometheus.GaugeValue, float64(refusing[typeURL]), label)
		ch <- prometheus.MustNewConstMetric(nacksDesc, prometheus.CounterValue, float64(c.NACKs), label)
		ch <- prometheus.MustNewConstMetric(pushesDesc, prometheus.CounterValue, float64(c.Pushes), label)
		ch <- prometheus.MustNewConstMetric(pushBytesDesc, prometheus.CounterValue, float64(c.PushBytes), label)
	}
}
