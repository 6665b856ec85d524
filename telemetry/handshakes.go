package telemetry

// Why a TLS handshake failed.
const (
	HandshakeNoCertificate      = "no_certificate"      // the peer showed none, and has to
	HandshakeUnknownAuthority   = "unknown_authority"   // the CA that signed it is not trusted
	HandshakeExpired            = "expired"             // it was valid once
	HandshakeNotYetValid        = "not_yet_valid"       // it will be, or a clock is wrong
	HandshakeInvalidCertificate = "invalid_certificate" // anything else about it, such as its usage
	HandshakeRefusedByPeer      = "refused_by_peer"     // the peer did not like our certificate or protocol
	HandshakeNotTLS             = "not_tls"             // the peer spoke something else, such as plain text
	HandshakeTimeout            = "timeout"             // the peer was too slow
	HandshakeClosed             = "closed"              // the peer went away, as probes of a port do
	HandshakeTurnedAway         = "turned_away"         // we closed the connection, to have room for others
	HandshakeOther              = "other"               // the log says what
)

// HandshakeReasons are all of them.
func HandshakeReasons() []string {
	return []string{
		HandshakeNoCertificate, HandshakeUnknownAuthority, HandshakeExpired, HandshakeNotYetValid, HandshakeInvalidCertificate,
		HandshakeRefusedByPeer, HandshakeNotTLS, HandshakeTimeout, HandshakeClosed, HandshakeTurnedAway,
		HandshakeOther,
	}
}
