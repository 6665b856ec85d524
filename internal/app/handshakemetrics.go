package app

import "github.com/prometheus/client_golang/prometheus"

// Why a TLS handshake failed.
const (
	reasonNoCertificate      = "no_certificate"      // the peer showed none, and has to
	reasonUnknownAuthority   = "unknown_authority"   // the CA that signed it is not trusted
	reasonExpired            = "expired"             // it was valid once
	reasonNotYetValid        = "not_yet_valid"       // it will be, or a clock is wrong
	reasonInvalidCertificate = "invalid_certificate" // anything else about it, such as its usage
	reasonRefusedByPeer      = "refused_by_peer"     // the peer did not like our certificate or protocol
	reasonNotTLS             = "not_tls"             // the peer spoke something else, such as plain text
	reasonTimeout            = "timeout"             // the peer was too slow
	reasonClosed             = "closed"              // the peer went away, as probes of a port do
	reasonTurnedAway         = "turned_away"         // we closed the connection, to have room for others
	reasonOther              = "other"               // the log says what
)

// handshakeReasons are all of them.
var handshakeReasons = []string{
	reasonNoCertificate, reasonUnknownAuthority, reasonExpired, reasonNotYetValid, reasonInvalidCertificate,
	reasonRefusedByPeer, reasonNotTLS, reasonTimeout, reasonClosed, reasonTurnedAway,
	reasonOther,
}

var handshakesDesc = prometheus.NewDesc("breakwater_tls_handshake_failures_total", "TLS handshakes that failed, on all ports, by reason. The log names the peer, and its certificate where it showed one.", []string{"reason"}, nil)

// Describe implements [prometheus.Collector].
func (h *handshakes) Describe(ch chan<- *prometheus.Desc) { ch <- handshakesDesc }

// Collect implements [prometheus.Collector]. Every reason is there from the start.
func (h *handshakes) Collect(ch chan<- prometheus.Metric) {
	counts := h.status()
	for _, reason := range handshakeReasons {
		ch <- prometheus.MustNewConstMetric(handshakesDesc, prometheus.CounterValue, float64(counts[reason]), reason)
	}
}
