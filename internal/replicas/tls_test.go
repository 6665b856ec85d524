package replicas

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"breakwater.dev/internal/testca"
)

func dns(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

func uri(text string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		u, _ := url.Parse(text) // the tests' texts are all URIs
		c.URIs = append(c.URIs, u)
	}
}

// files returns the configuration of a replica whose certificate is NAME.pem.
func files(ca *testca.Authority, name string) TLS {
	return TLS{CertFile: ca.Path(name + ".pem"), KeyFile: ca.Path(name + ".key"), CAFile: ca.Path("ca.pem")}
}

func leaf(t *testing.T, pair *tls.Certificate) []*x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return []*x509.Certificate{c}
}

// TestCertificatesOfReplicas shows which certificates belong to a replica: they are signed by the CA, valid, for that side of a connection, and
// share a name with our own.
func TestCertificatesOfReplicas(t *testing.T) {
	ca, other := testca.New(t), testca.New(t)
	own := files(ca, "own")
	ca.Issue(t, "own", "10.0.0.1", dns("breakwater.mesh", "replica-0"), uri("spiffe://mesh/breakwater"))
	usage := func(u x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{u} }
	}
	const server, client = x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth
	for _, tt := range []struct {
		name  string
		by    *testca.Authority
		edits []func(*x509.Certificate)
		usage x509.ExtKeyUsage
		want  string // in the error; "": it belongs to a replica
	}{
		{"one name of two", ca, []func(*x509.Certificate){dns("replica-1", "breakwater.mesh")}, client, ""},
		{"the same URI", ca, []func(*x509.Certificate){uri("spiffe://mesh/breakwater")}, server, ""},
		{"a server's, for a server", ca, []func(*x509.Certificate){dns("breakwater.mesh"), usage(server)}, server, ""},
		{"a server's, for a client", ca, []func(*x509.Certificate){dns("breakwater.mesh"), usage(server)}, client, "incompatible key usage"},
		{"a client's, for a server", ca, []func(*x509.Certificate){dns("breakwater.mesh"), usage(client)}, server, "incompatible key usage"},
		{"a proxy's", ca, []func(*x509.Certificate){uri("spiffe://mesh/shop")}, client, `is for ["spiffe://mesh/shop"], and has to be for one of our own names`},
		{"one without names", ca, nil, client, "is for []"},
		{"one with our address only", ca, []func(*x509.Certificate){func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 1)} }}, client, "is for []"},
		{"another CA's", other, []func(*x509.Certificate){dns("breakwater.mesh")}, client, "unknown authority"},
		{"an expired one", ca, []func(*x509.Certificate){dns("breakwater.mesh"), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }}, client, "expired"},
	} {
		err := own.verify(leaf(t, tt.by.Pair(t, "peer", "", tt.edits...)), tt.usage)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	if err := own.verify(nil, client); err == nil || !strings.Contains(err.Error(), "it shows no certificate") {
		t.Errorf("no certificate: got %v", err)
	}
}

// TestFilesThatCannotBeRead shows that no certificate is good while our own files cannot be read, and that they are read again each time.
func TestFilesThatCannotBeRead(t *testing.T) {
	ca := testca.New(t)
	ca.Issue(t, "own", "", dns("breakwater.mesh"))
	own := files(ca, "own")
	peer := leaf(t, ca.Pair(t, "peer", "", dns("breakwater.mesh")))
	for _, tt := range []struct{ file, want string }{
		{own.CAFile, "the CA of replicas"}, {own.CertFile, "the control plane's certificate"}, {own.KeyFile, "the control plane's certificate"},
	} {
		if err := own.verify(peer, x509.ExtKeyUsageClientAuth); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(tt.file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(tt.file); err != nil {
			t.Fatal(err)
		}
		if err := own.verify(peer, x509.ExtKeyUsageClientAuth); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("without %s: got %v, want %q", tt.file, err, tt.want)
		}
		if err := os.WriteFile(tt.file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHandshakesBetweenReplicas shows that a replica shows its certificate, does not ask for the name in the address, and refuses a server that is
// no replica.
func TestHandshakesBetweenReplicas(t *testing.T) {
	ca := testca.New(t)
	ca.Issue(t, "own", "", dns("breakwater.mesh"))
	for name, tt := range map[string]struct {
		server *tls.Certificate
		want   string
	}{
		"a replica": {ca.Pair(t, "replica", "", dns("breakwater.mesh", "elsewhere")), ""},
		"a proxy":   {ca.Pair(t, "proxy", "", dns("shop.mesh")), "has to be for one of our own names"},
	} {
		credentials, err := files(ca, "own").client()
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		near, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		shown := make(chan string, 1)
		go func() {
			defer far.Close()
			s := tls.Server(far, &tls.Config{
				Certificates: []tls.Certificate{*tt.server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool(), NextProtos: []string{"h2"},
			})
			if s.Handshake() != nil {
				shown <- ""
				return
			}
			shown <- strings.Join(s.ConnectionState().PeerCertificates[0].DNSNames, " ")
			_, _ = io.Copy(io.Discard, s) // until the client leaves
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		conn, _, err := credentials.ClientHandshake(ctx, "10.0.0.2:18000", near)
		cancel()
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
		if err == nil {
			conn.Close()
		}
		near.Close()
		if got := <-shown; err == nil && got != "breakwater.mesh" {
			t.Errorf("%s: the server got a certificate for %q", name, got)
		}
	}
}

// TestAdmit shows that every stream is admitted without TLS, and that with TLS a stream without a certificate is refused, and logged.
func TestAdmit(t *testing.T) {
	var log strings.Builder
	r := &Group{o: Options{Log: slog.New(slog.NewTextHandler(&log, nil))}}
	if err := r.admit(t.Context()); err != nil || log.Len() > 0 {
		t.Errorf("without TLS: %v", err)
	}
	if c, err := (TLS{}).client(); err != nil || c.Info().SecurityProtocol != "insecure" {
		t.Errorf("without TLS: %v, %v", c, err)
	}
	r.o.TLS = TLS{CertFile: "own.pem"}
	if err := r.admit(t.Context()); status.Code(err) != codes.PermissionDenied || !strings.Contains(log.String(), "a stream claims to be of another replica, and is not") {
		t.Errorf("with TLS: %v; the log:\n%s", err, &log)
	}
}
