package handshakes

import "github.com/prometheus/client_golang/prometheus"

// The reasons for which a TLS handshake fails.
const (
	reasonNoCertificate      = "no_certificate"      // the peer showed no certificate, and must
	reasonUnknownAuthority   = "unknown_authority"   // the CA that signed the certificate is not trusted
	reasonExpired            = "expired"             // the certificate is no longer valid
	reasonNotYetValid        = "not_yet_valid"       // the certificate is not valid yet, or a clock is wrong
	reasonInvalidCertificate = "invalid_certificate" // the certificate has another fault, such as its usage
	reasonRefusedByPeer      = "refused_by_peer"     // the peer refused our certificate or our protocol
	reasonNotTLS             = "not_tls"             // the peer spoke another protocol, such as plain text
	reasonTimeout            = "timeout"             // the peer was too slow
	reasonClosed             = "closed"              // the peer closed the connection, as probes of a port do
	reasonTurnedAway         = "turned_away"         // the guard closed the connection to make room for others
	reasonOther              = "other"               // the log has the error
)

// Reasons has all reasons.
var Reasons = []string{
	reasonNoCertificate, reasonUnknownAuthority, reasonExpired, reasonNotYetValid, reasonInvalidCertificate,
	reasonRefusedByPeer, reasonNotTLS, reasonTimeout, reasonClosed, reasonTurnedAway,
	reasonOther,
}

var handshakesDesc = prometheus.NewDesc("breakwater_tls_handshake_failures_total", "TLS handshakes that failed, on all ports, by reason. The log names the peer, and its certificate where it showed one.", []string{"reason"}, nil)

// Describe implements [prometheus.Collector].
func (h *Failures) Describe(ch chan<- *prometheus.Desc) { ch <- handshakesDesc }

// Collect implements [prometheus.Collector]. Every reason has a series from the start.
func (h *Failures) Collect(ch chan<- prometheus.Metric) {
	counts := h.status()
	for _, reason := range Reasons {
		ch <- prometheus.MustNewConstMetric(handshakesDesc, prometheus.CounterValue, float64(counts[reason]), reason)
	}
}
