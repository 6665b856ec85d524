package handshakes

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"
)

// date is the time of these tests.
var date = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// refused returns the error of a handshake whose certificate is refused for a reason.
func refused(why error) error {
	return &tls.CertificateVerificationError{Err: why, UnverifiedCertificates: []*x509.Certificate{{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop"}, Issuer: pkix.Name{CommonName: "the CA"}, DNSNames: []string{"shop.mesh"},
		URIs: []*url.URL{{Scheme: "spiffe", Host: "mesh", Path: "/shop"}}, IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)},
		NotBefore: date.Add(-time.Hour), NotAfter: date.Add(time.Hour),
	}}}
}

// TestReasons shows the reason that each error of a handshake counts for, also where it is part of another one, and that every other reason has
// a test.
func TestReasons(t *testing.T) {
	valid := func(from time.Duration) *x509.Certificate { return &x509.Certificate{NotBefore: date.Add(from)} }
	tests := []struct {
		want string
		err  error
	}{
		{reasonExpired, refused(x509.CertificateInvalidError{Cert: valid(-time.Hour), Reason: x509.Expired})},
		{reasonExpired, refused(x509.CertificateInvalidError{Cert: valid(0), Reason: x509.Expired})},
		{reasonNotYetValid, refused(x509.CertificateInvalidError{Cert: valid(time.Second), Reason: x509.Expired})},
		{reasonInvalidCertificate, refused(x509.CertificateInvalidError{Cert: valid(time.Second), Reason: x509.IncompatibleUsage})},
		{reasonInvalidCertificate, refused(errors.New("it has another fault"))},
		{reasonUnknownAuthority, refused(x509.UnknownAuthorityError{})},
		{reasonNotTLS, tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}},
		{reasonRefusedByPeer, &net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}},
		{reasonTimeout, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}},
		{reasonTurnedAway, &net.OpError{Op: "read", Err: net.ErrClosed}},
		{reasonClosed, io.EOF},
		{reasonClosed, io.ErrUnexpectedEOF},
		{reasonClosed, &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}},
		{reasonClosed, &net.OpError{Op: "write", Err: os.NewSyscallError("write", syscall.EPIPE)}},
		{reasonNoCertificate, errors.New("tls: client didn't provide a certificate")},
		{reasonOther, errors.New("tls: no application protocol")},
	}
	missing := slices.Clone(Reasons)
	for _, tt := range tests {
		for _, err := range []error{tt.err, fmt.Errorf("the handshake: %w", tt.err)} {
			if got := reasonOf(err, date); got != tt.want {
				t.Errorf("%v: got %s, want %s", err, got, tt.want)
			}
		}
		missing = slices.DeleteFunc(missing, func(reason string) bool { return reason == tt.want })
	}
	if len(missing) > 0 {
		t.Errorf("no error counts for %v", missing)
	}
}

// TestRefusedCertificatesAreLogged shows that the line about a certificate that was refused has what it says.
func TestRefusedCertificatesAreLogged(t *testing.T) {
	var lines text
	h := New(slog.New(slog.NewTextHandler(&lines, nil)), func() time.Time { return date })
	h.Failed("proxies", &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 4711}, refused(errors.New("it has a fault")))
	for _, want := range []string{
		"level=WARN", "port=proxies", "remote=10.0.0.7:4711", "reason=invalid_certificate", `subject="CN=shop"`, `issuer="CN=the CA"`,
		`names="shop.mesh spiffe://mesh/shop 10.0.0.1"`, "not_before=2026-11-23T11:00:00.000Z", "not_after=2026-11-23T13:00:00.000Z",
	} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, &lines)
		}
	}
	if got := describe(&tls.CertificateVerificationError{Err: io.EOF}); got != nil {
		t.Errorf("the certificate that there is not is described as %v", got)
	}
}

// failing are credentials whose handshakes end with an error, or with none.
type failing struct {
	credentials.TransportCredentials
	err error
}

func (f failing) ServerHandshake(c net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return c, nil, f.err
}
func (f failing) Clone() credentials.TransportCredentials { return f }

// TestCredentials shows that failed handshakes of gRPC are reported with the peer's address, also by a clone, and that others are not.
func TestCredentials(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	for _, want := range []error{nil, io.EOF} {
		got := 0
		all := Credentials{TransportCredentials: failing{err: want}, Failed: func(remote net.Addr, err error) {
			if got++; remote != near.RemoteAddr() || !errors.Is(err, want) {
				t.Errorf("got %v from %v, want %v", err, remote, want)
			}
		}}
		for _, c := range []credentials.TransportCredentials{all, all.Clone()} {
			if _, _, err := c.ServerHandshake(near); !errors.Is(err, want) {
				t.Errorf("the handshake ends with %v, want %v", err, want)
			}
		}
		if reports := map[bool]int{true: 2}[want != nil]; got != reports {
			t.Errorf("%v was reported %d times, want %d", want, got, reports)
		}
	}
}
