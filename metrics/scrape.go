package metrics

import (
	"bufio"
	"net/http"

	"github.com/prometheus/common/expfmt"

	"breakwater.dev/breaker"
	"breakwater.dev/metrics/internal/ejections"
)

// expositionType is the format that everything can read. There is no other one here.
const expositionType = "text/plain; version=0.0.4; charset=utf-8"

// ServeHTTP answers with the metrics of breakers, from one snapshot, then the ejections, and then the metrics in the
// registry. Only the last are encoded by the library, which makes an object of each of millions of samples, and sorts
// them. For the same reason the answer is not compressed: gzip takes far longer than all the rest, on a processor that
// requests need, to spare bytes of a local network.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	registered, err := m.registry.Gather()
	if err != nil {
		m.options.Log.Error("metrics cannot be gathered", "error", err)
		http.Error(w, "metrics cannot be gathered: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", expositionType)
	if r.Method == http.MethodHead {
		return
	}
	// From here on an error means that the client has left.
	if err := m.writeBreakers(w); err != nil {
		return
	}
	if m.options.Outliers != nil {
		if err := ejections.Write(w, m.options.Outliers.Snapshot()); err != nil {
			return
		}
	}
	out := bufio.NewWriterSize(w, 32<<10)
	for _, family := range registered {
		if _, err := expfmt.MetricFamilyToText(out, family); err != nil {
			return
		}
	}
	_ = out.Flush()
}

// writeBreakers writes the metrics of breakers. The space of the snapshot is used again by the next scrape.
func (m *Metrics) writeBreakers(w http.ResponseWriter) error {
	s := m.snapshots.Get().(*[]breaker.Status)
	defer m.snapshots.Put(s)
	*s = m.options.Engine.AppendSnapshot((*s)[:0], m.options.Clock.Now())
	return m.series.Write(w, *s, m.options.Clock.Wall)
}
