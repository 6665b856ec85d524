package e2e

import (
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"testing"
)

// client returns an HTTP client that trusts certificates of the authority.
func (a authority) client() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: a.Pool()}, DisableKeepAlives: true,
	}}
}

// TestHTTPOverTLS shows that the HTTP port can speak TLS, that its certificate can be replaced while it runs, and that it then
// serves no plain text.
func TestHTTPOverTLS(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	ca := newAuthority(t)
	ca.Issue(t, "web", ip)
	o := prepareOperated(t, ip, service("payments", ip+":1")+guard("payments"))
	o.control = start(t, "control plane", binary, "serve", "--policy", o.policies, "--state-dir", o.stateDir, "--admin-token-file", o.tokenFile,
		"--xds-listen", ip+":18000", "--http-listen", ip+":18080", "--http-tls-cert", ca.Path("web.pem"), "--http-tls-key", ca.Path("web.key"))
	url := "https://" + ip + ":18080"
	serial := func() (string, error) {
		r, err := ca.client().Get(url + "/health/ready")
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		return r.TLS.PeerCertificates[0].SerialNumber.String(), nil
	}
	before := ""
	eventually(t, "the control plane serves", func() (err error) {
		o.control.running(t)
		before, err = serial()
		return err
	})
	if text, err := fetch("http://" + ip + ":18080/breakers"); err == nil || strings.Contains(err.Error(), "payments") {
		t.Errorf("a request in plain text got a page: %s %v", text, err)
	}
	args := []string{"breakers", "force", "payments", "open", "--for", "1m", "--reason", "a drill", "--admin-token-file", o.tokenFile, "--server", url}
	if r := breakwater(t, args...); r.code != 1 || !strings.Contains(r.stderr, "--ca-file") {
		t.Errorf("without the CA: exit code %d: %s", r.code, r.stderr)
	}
	if r := breakwater(t, append(args, "--ca-file", ca.Path("ca.pem"))...); r.code != 0 || !strings.Contains(r.stdout, "open") {
		t.Errorf("with the CA: exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	ca.Issue(t, "web", ip)
	eventually(t, "the new certificate is in use", func() error {
		now, err := serial()
		if err == nil && now == before {
			err = errors.New("the old one is still in use")
		}
		return err
	})
	if code := o.terminate(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// TestHTTPHost shows that a web page cannot read the HTTP port by making its own name resolve to the port's address.
func TestHTTPHost(t *testing.T) {
	t.Parallel()
	ip := ownIP(t)
	m := prepareMesh(t, ip, service("payments", ip+":1")+guard("payments"))
	m.startControl(t, "--http-host", "breakwater.example")
	for host, want := range map[string]int{
		"evil.example": http.StatusMisdirectedRequest, "breakwater.example:18080": http.StatusOK,
		"breakwater.breakwater.svc:18080": http.StatusOK, ip + ":18080": http.StatusOK,
	} {
		for _, path := range []string{"/breakers", "/config", "/metrics", "/transitions", "/"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, "http://"+ip+":18080"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			got := 0
			if answer, err := http.DefaultClient.Do(r); err == nil {
				got = answer.StatusCode
				answer.Body.Close()
			}
			if got != want {
				t.Errorf("Host %s, %s: %d, want %d", host, path, got, want)
			}
		}
	}
}
