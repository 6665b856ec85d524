package telemetry

import (
	"bufio"
	"net/http"

	"github.com/prometheus/common/expfmt"

	"breakwater.dev/breaker"
	"breakwater.dev/telemetry/internal/ejections"
)

const (
	// expositionType is the format that everything can read; it is the only one here.
	expositionType = "text/plain; version=0.0.4; charset=utf-8"
	// scrapes is how many are served at a time: Prometheus often runs in pairs.
	// Each holds a snapshot of all breakers, and that is most of what it needs.
	scrapes = 2
)

// metrics answers with the metrics of breakers, of one snapshot, then those of
// ejections and of the process. All but the last are encoded here and not by the
// registry, which makes an object of each of millions of samples, and sorts them.
// For the same reason the answer is not compressed: gzip takes far longer than all the rest,
// on a processor that requests need, to spare bytes of a local network.
func (t *Telemetry) metrics(w http.ResponseWriter, r *http.Request) {
	process, err := t.registry.Gather()
	if err != nil {
		t.options.Log.Error("metrics cannot be gathered", "error", err)
		http.Error(w, "metrics cannot be gathered: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", expositionType)
	if r.Method == http.MethodHead {
		return
	}
	// From here on an error means that the client has left.
	t.withStatuses(func(statuses []breaker.Status) {
		err = t.series.Write(w, statuses, t.options.Wall)
	})
	if err != nil {
		return
	}
	if err := ejections.Write(w, t.outliers()); err != nil {
		return
	}
	out := bufio.NewWriterSize(w, 32<<10)
	for _, family := range process {
		if _, err := expfmt.MetricFamilyToText(out, family); err != nil {
			return
		}
	}
	_ = out.Flush()
}
