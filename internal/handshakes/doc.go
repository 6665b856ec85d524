// Package handshakes counts and logs TLS handshakes that fail.
//
// In: the errors of handshakes, from gRPC and from net/http.
// Out: a metric by reason, and log lines that name the peer and its certificate, a few for each network of peers.
// Called by: the app.
// Never: decides whether a certificate is good.
// Concurrency: safe for concurrent use.
package handshakes
