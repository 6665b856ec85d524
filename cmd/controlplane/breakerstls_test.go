package main

import (
	"bytes"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBreakersOverTLS: the certificate has to be one of the CA, for the name; and what is wrong is said.
func TestBreakersOverTLS(t *testing.T) {
	noEnvironment(t)
	t.Setenv(caFileEnv, "")
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", noon)
		_, _ = w.Write([]byte(`{"breakers": []}`))
	}))
	defer secure.Close()
	plain := httptest.NewServer(secure.Config.Handler)
	defer plain.Close()
	dir := t.TempDir()
	ca, none := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "none.pem")
	for name, text := range map[string][]byte{
		ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), none: []byte("no certificate\n"),
	} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		env  string
		args []string
		code int
		says string
	}{
		{"the CA", "", []string{"--server", secure.URL, "--ca-file", ca}, 0, "no breakers"},
		{"of the environment", ca, []string{"--server", secure.URL}, 0, "no breakers"},
		{"another name of it", "", []string{"--server", secure.URL, "--ca-file", ca, "--tls-server-name", "example.com"}, 0, "no breakers"},
		{"no CA", "", []string{"--server", secure.URL}, 1, "give the CA by --ca-file or BREAKWATER_CA_FILE"},
		{"a name that is not in it", "", []string{"--server", secure.URL, "--ca-file", ca, "--tls-server-name", "other"}, 1, "give --tls-server-name"},
		{"plain text", "", []string{"--server", strings.Replace(plain.URL, "http", "https", 1), "--ca-file", ca}, 1, "begin it with http://"},
		{"no TLS", "", []string{"--server", strings.Replace(secure.URL, "https", "http", 1)}, 1, "give --server as an https URL"},
		{"a file that is not there", "", []string{"--server", secure.URL, "--ca-file", ca + "x"}, 1, "reading the CA: open"},
		{"a file without any", "", []string{"--server", secure.URL, "--ca-file", none}, 1, "holds no certificate in PEM"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(caFileEnv, tt.env)
			var stdout, stderr bytes.Buffer
			code := run(append([]string{"breakers", "list"}, tt.args...), &stdout, &stderr)
			if code != tt.code || !strings.Contains(stdout.String()+stderr.String(), tt.says) {
				t.Errorf("exit code %d: %s%s\nwant %d and %q", code, stdout.String(), stderr.String(), tt.code, tt.says)
			}
		})
	}
}

// TestAServerThatHangsUpOverTLS is not told to be asked over TLS.
func TestAServerThatHangsUpOverTLS(t *testing.T) {
	noEnvironment(t)
	t.Setenv(caFileEnv, "")
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer secure.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code := run([]string{"breakers", "list", "--server", secure.URL, "--ca-file", ca}, &stdout, &stderr)
	if code != 1 || !strings.Contains(stderr.String(), "cannot reach the control plane at "+secure.URL) || strings.Contains(stderr.String(), "begin it with") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}
