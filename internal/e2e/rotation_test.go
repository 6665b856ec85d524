package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mount is a directory as the kubelet mounts a ConfigMap or a Secret. Every file is a link into ..data, which is a link too. The
// kubelet swaps that link when the content changes.
type mount struct {
	dir   string
	swaps int
}

func newMount(t *testing.T, files map[string]string) *mount {
	t.Helper()
	m := &mount{dir: t.TempDir()}
	m.swap(t, files)
	return m
}

func (m *mount) path(name string) string { return filepath.Join(m.dir, name) }

// swap replaces all files at once.
func (m *mount) swap(t *testing.T, files map[string]string) {
	t.Helper()
	m.swaps++
	version := fmt.Sprintf("..2026_%d", m.swaps)
	if err := os.Mkdir(m.path(version), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(m.path(version), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Symlink(version, m.path("..data_tmp")),
		os.Rename(m.path("..data_tmp"), m.path("..data")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range files {
		if err := os.Symlink(filepath.Join("..data", name), m.path(name)); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
}

// identity makes the files of one side of mutual TLS, with the names that cert-manager uses in a Secret.
func (a authority) identity(t *testing.T, name, ip string) map[string]string {
	t.Helper()
	a.Issue(t, name, ip)
	return map[string]string{
		"tls.crt": contents(t, a.Path(name+".pem")), "tls.key": contents(t, a.Path(name+".key")),
		"ca.crt": contents(t, a.Path("ca.pem")),
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// startRotatingEnvoy starts a proxy with the files that bootstrap --output-dir writes.
func (m *mesh) startRotatingEnvoy(t *testing.T, flags ...string) {
	t.Helper()
	dir := t.TempDir()
	m.bootstrap(t, append(flags, "--output-dir", dir)...)
	m.runEnvoy(t, contents(t, filepath.Join(dir, "envoy.yaml")))
}

// TestCertificatesOfBothSidesAreRotated replaces the CA and all its certificates, in the proxy and in the control plane, as the
// kubelet does. Both sides accept the new certificates when the proxy connects again.
func TestCertificatesOfBothSidesAreRotated(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	before, after := newAuthority(t), newAuthority(t)
	server, proxy := newMount(t, before.identity(t, "server", ip)), newMount(t, before.identity(t, "proxy", ip))
	u := newUpstream(t, ip)
	m := prepareMesh(t, ip, service("payments", u.address)+guard("payments", "failOpen: false"))
	secured := []string{"--tls-cert", server.path("tls.crt"), "--tls-key", server.path("tls.key"), "--tls-client-ca", server.path("ca.crt")}
	m.startControl(t, secured...)
	m.startRotatingEnvoy(t, "--tls-ca", proxy.path("ca.crt"), "--tls-cert", proxy.path("tls.crt"), "--tls-key", proxy.path("tls.key"))
	m.answers(t, "payments", http.StatusOK)
	old, err := tls.LoadX509KeyPair(proxy.path("tls.crt"), proxy.path("tls.key"))
	if err != nil {
		t.Fatal(err)
	}

	server.swap(t, after.identity(t, "server", ip))
	proxy.swap(t, after.identity(t, "proxy", ip))
	fresh, err := tls.LoadX509KeyPair(proxy.path("tls.crt"), proxy.path("tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the control plane shows its new certificate, and accepts certificates of the new CA", func() error {
		_, err := after.handshake(ip+":18000", fresh)
		return err
	})
	if _, err := after.handshake(ip+":18000", old); err == nil {
		t.Error("the control plane still accepts a certificate of the old CA")
	}
	m.answers(t, "payments", http.StatusOK) // established connections stay

	m.control.kill()
	m.startControl(t, secured...)
	eventually(t, "the proxy has connected with its new certificate, and trusts the new CA", func() error {
		r, err := m.get(t.Context(), "payments", "/")
		if err == nil && r.status != http.StatusOK {
			err = fmt.Errorf("status %d, so the control plane did not decide", r.status)
		}
		return err
	})
}

// handshake connects to a server whose certificate the authority has signed, and returns the certificate's serial number.
func (a authority) handshake(address string, certificates ...tls.Certificate) (*big.Int, error) {
	conn, err := tls.Dial("tcp", address, &tls.Config{
		RootCAs: a.Pool(), Certificates: certificates, NextProtos: []string{"h2"},
	})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// In TLS 1.3 the first bytes from the server may be a refusal.
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return nil, err
	}
	return conn.ConnectionState().PeerCertificates[0].SerialNumber, nil
}

// tlsField returns the field tls of an upstream whose certificate is for ip and signed by the CA in a file.
func tlsField(ip, caFile string) string { return fmt.Sprintf("tls: {sni: %s, caFile: %q}", ip, caFile) }

// replacements are the ways to replace a CA file that a running Envoy notices.
var replacements = map[string]func(t *testing.T, m *mount, ca string){
	"mounted Secret": func(t *testing.T, m *mount, ca string) { m.swap(t, map[string]string{"ca.crt": ca}) },
	"rename": func(t *testing.T, m *mount, ca string) {
		for _, err := range []error{
			os.WriteFile(m.path("new"), []byte(ca), 0o600), os.Rename(m.path("new"), m.path("ca.crt")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	},
}

// TestUpstreamCAIsRotated replaces the CA and the certificate of an upstream. New connections of a running proxy trust the new CA.
func TestUpstreamCAIsRotated(t *testing.T) {
	t.Parallel()
	for protocol, variant := range variants {
		for how, replace := range replacements {
			t.Run(protocol+", "+how, func(t *testing.T) {
				t.Parallel()
				ip := ownIP(t)
				before, after := newAuthority(t), newAuthority(t)
				trust := newMount(t, map[string]string{"ca.crt": contents(t, before.Path("ca.pem"))})
				u := newSecureUpstream(t, ip, before.Pair(t, "payments", ip))
				m := prepareMesh(t, ip, service("payments", u.address, tlsField(ip, trust.path("ca.crt"))))
				m.startControl(t)
				m.startEnvoy(t, variant)
				m.answers(t, "payments", http.StatusOK)

				u.stop()
				u.certificate = after.Pair(t, "payments", ip)
				u.restart(t)
				m.answers(t, "payments", http.StatusServiceUnavailable)
				replace(t, trust, contents(t, after.Path("ca.pem")))
				m.answers(t, "payments", http.StatusOK)
			})
		}
	}
}

// answers waits until calls to a host get a status.
func (m *mesh) answers(t *testing.T, host string, status int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s answers %d", host, status), func() error {
		r, err := m.get(t.Context(), host, "/")
		if err == nil && r.status != status {
			err = fmt.Errorf("status %d %q", r.status, r.body)
		}
		return err
	})
}

// TestCAThatAppearsLate shows a policy that names a file that does not exist yet. No other resource waits for the file, and the
// proxy uses the file when it appears, even if the proxy has lost its streams meanwhile.
func TestCAThatAppearsLate(t *testing.T) {
	t.Parallel()
	for protocol, variant := range variants {
		for _, outage := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, outage=%t", protocol, outage), func(t *testing.T) {
				t.Parallel()
				ip := ownIP(t)
				ca := newAuthority(t)
				u, plain := newSecureUpstream(t, ip, ca.Pair(t, "payments", ip)), newUpstream(t, ip)
				dir := t.TempDir()
				late := filepath.Join(dir, "late.pem")
				m := prepareMesh(t, ip, service("payments", u.address, tlsField(ip, late))+
					service("another", u.address, tlsField(ip, ca.Path("ca.pem")))+service("stock", plain.address))
				m.startControl(t)
				began := time.Now()
				m.startEnvoy(t, variant)
				m.must(t, "stock", http.StatusOK)
				m.answers(t, "another", http.StatusOK)
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("the other upstreams waited %s for the file", took)
				}
				m.must(t, "payments", http.StatusServiceUnavailable)
				refused := `breakwater_xds_nacks_total{type="Secret"}`
				eventually(t, "the refusal is counted", func() error {
					if m.metric(t, refused) == 0 {
						return errors.New("no refusal is counted")
					}
					return nil
				})
				if config := m.page(t, "/config"); !strings.Contains(config, late) {
					t.Errorf("/config does not name the file:\n%s", config)
				}
				if outage {
					m.control.kill()
					m.startControl(t)
				}
				if err := os.WriteFile(late, []byte(contents(t, ca.Path("ca.pem"))), 0o600); err != nil {
					t.Fatal(err)
				}
				m.answers(t, "payments", http.StatusOK)
				eventually(t, "/config has no refusal", func() error {
					if config := m.page(t, "/config"); strings.Contains(config, `"nack"`) {
						return errors.New(config)
					}
					return nil
				})
			})
		}
	}
}
