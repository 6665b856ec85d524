package handshakes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/credentials"

	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/untrusted"
)

// Failures counts and logs failed TLS handshakes. It is safe for concurrent use.
type Failures struct {
	log   *slog.Logger
	now   func() time.Time
	lines untrusted.Limiter[string] // limits the log lines of each network of peers

	mu     sync.Mutex        // guards counts
	counts map[string]uint64 // by reason
}

// New returns failures without any.
func New(log *slog.Logger, now func() time.Time) *Failures {
	h := &Failures{
		log: log, now: now, counts: map[string]uint64{},
		lines: untrusted.Limiter[string]{Each: untrusted.Rate{Burst: 1, PerSecond: .1}, All: untrusted.Rate{Burst: 20, PerSecond: 2}},
	}
	return h
}

// status returns the counts by reason.
func (h *Failures) status() map[string]uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.counts)
}

// Failed counts and logs a failed handshake. The port is named by its purpose.
func (h *Failures) Failed(port string, remote net.Addr, err error) {
	h.record(port, remote.String(), reasonOf(err, h.now()), err)
}

// record counts a failure for a reason, and logs it. The level is debug if the peer closed the connection without a
// message, as port scans and probes do, or if the guard closed it, since the guard logs that itself.
func (h *Failures) record(port, remote, reason string, err error) {
	level := slog.LevelWarn
	if reason == reasonClosed || reason == reasonTurnedAway {
		level = slog.LevelDebug
	}
	due, skipped := h.count(reason, remote, level)
	if !due {
		return
	}
	attributes := append([]any{"port", port, "remote", remote, "reason", reason, "error", untrusted.Message(err.Error())}, describe(err)...)
	if skipped > 0 {
		attributes = append(attributes, "lines_left_out", skipped)
	}
	h.log.Log(context.Background(), level, "TLS handshake failed", attributes...)
}

// count counts a failure. It reports whether the caller must log it, and how many failures were not logged since the last
// line.
func (h *Failures) count(reason, remote string, level slog.Level) (due bool, skipped uint64) {
	h.mu.Lock()
	h.counts[reason]++
	h.mu.Unlock()
	if level < slog.LevelInfo {
		return h.log.Enabled(context.Background(), level), 0
	}
	return h.lines.Allow(guard.Network(remote), h.now())
}

// reasonOf returns the one of Reasons that an error belongs to.
func reasonOf(err error, now time.Time) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var verification *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var operation *net.OpError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && now.Before(invalid.Cert.NotBefore):
		return reasonNotYetValid
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return reasonExpired
	case errors.As(err, &unknown):
		return reasonUnknownAuthority
	case errors.As(err, &verification):
		return reasonInvalidCertificate
	case errors.As(err, &record):
		return reasonNotTLS
	case errors.As(err, &operation) && operation.Op == "remote error": // the peer has sent an alert
		return reasonRefusedByPeer
	case errors.Is(err, os.ErrDeadlineExceeded):
		return reasonTimeout
	case errors.Is(err, net.ErrClosed): // the guard has closed the connection
		return reasonTurnedAway
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return reasonClosed
	case strings.Contains(err.Error(), "client didn't provide a certificate"): // crypto/tls has no type for this error
		return reasonNoCertificate
	default:
		return reasonOther
	}
}

// HTTPErrors gets the errors of the HTTP server as lines of text (net/http, Server.ErrorLog). net/http reports failed
// handshakes in no other way. All other lines are faults of this process: a handler that panics, with its stack, or that
// misuses its response, or a port that cannot accept connections.
type HTTPErrors struct{ *Failures }

// Write implements [io.Writer].
func (w HTTPErrors) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	if failure, handshake := strings.CutPrefix(text, "http: TLS handshake error from "); handshake {
		remote, why, _ := strings.Cut(failure, ": ")
		w.record("HTTP", remote, httpReason(why), errors.New(why))
	} else {
		w.log.Error("the HTTP server has an error that is not its peer's", "error", text)
	}
	return len(line), nil
}

// httpReason is like reasonOf, for the text that the HTTP server logs about a handshake.
func httpReason(why string) string {
	switch {
	case strings.HasPrefix(why, "remote error: "): // the peer has sent an alert
		return reasonRefusedByPeer
	case strings.HasPrefix(why, "client sent an HTTP request"), strings.Contains(why, "first record does not look like a TLS handshake"):
		return reasonNotTLS
	case strings.HasSuffix(why, "i/o timeout"):
		return reasonTimeout
	case strings.HasSuffix(why, net.ErrClosed.Error()):
		return reasonTurnedAway
	case strings.HasSuffix(why, "EOF"), strings.HasSuffix(why, "connection reset by peer"), strings.HasSuffix(why, "broken pipe"):
		return reasonClosed
	default:
		return reasonOther
	}
}

// describe returns log attributes of the certificate that was refused, or nil if the peer showed none.
func describe(err error) []any {
	var verification *tls.CertificateVerificationError
	if !errors.As(err, &verification) || len(verification.UnverifiedCertificates) == 0 {
		return nil
	}
	c := verification.UnverifiedCertificates[0]
	names := append([]string{}, c.DNSNames...)
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return []any{
		"subject", untrusted.Name(c.Subject.String()), "issuer", untrusted.Name(c.Issuer.String()), "names", untrusted.Name(strings.Join(names, " ")),
		"not_before", c.NotBefore.UTC(), "not_after", c.NotAfter.UTC(),
	}
}

// Credentials reports failed handshakes, which gRPC does not.
type Credentials struct {
	credentials.TransportCredentials
	Failed func(remote net.Addr, err error)
}

// ServerHandshake implements [credentials.TransportCredentials].
func (w Credentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, info, err := w.TransportCredentials.ServerHandshake(conn)
	if err != nil {
		w.Failed(conn.RemoteAddr(), err)
	}
	return secured, info, err
}

// Clone implements [credentials.TransportCredentials].
func (w Credentials) Clone() credentials.TransportCredentials {
	return Credentials{TransportCredentials: w.TransportCredentials.Clone(), Failed: w.Failed}
}
