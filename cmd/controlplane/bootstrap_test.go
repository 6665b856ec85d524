package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bootstrapWith runs the command with the flags that it needs, and more.
func bootstrapWith(flags ...string) (code int, stdout, stderr string) {
	var out, problems bytes.Buffer
	code = run(append([]string{"bootstrap", "--node-id", "shop-1", "--node-cluster", "shop"}, flags...), &out, &problems)
	return code, out.String(), problems.String()
}

func TestBootstrapTrimsUpstreams(t *testing.T) {
	code, out, problems := bootstrapWith("--upstreams", "payments, stock ,search")
	if want := "breakwater.dev/upstreams:\n      - payments\n      - stock\n      - search\n"; code != 0 || !strings.Contains(out, want) {
		t.Errorf("exit code %d, want 0 and %q:\n%s%s", code, want, out, problems)
	}
}

// TestBootstrapOfReplicas: they may be given with commas, several times, or both.
func TestBootstrapOfReplicas(t *testing.T) {
	want := bootstrapAt(t, "--xds", "a.example:18000,10.0.0.1:18000,[fd00::1]:18000")
	for _, flags := range [][]string{
		{"--xds", "a.example:18000", "--xds", "10.0.0.1:18000", "--xds", "[fd00::1]:18000"},
		{"--xds", "a.example:18000, 10.0.0.1:18000", "--xds", "[fd00::1]:18000"},
	} {
		if got := bootstrapAt(t, flags...); got != want {
			t.Errorf("%q: got\n%s\nwant\n%s", flags, got, want)
		}
	}
	for _, host := range []string{"a.example", "10.0.0.1", "fd00::1"} {
		if !strings.Contains(want, "address: "+host+"\n") {
			t.Errorf("no %s in\n%s", host, want)
		}
	}
}

// bootstrapAt returns what the command prints with some flags.
func bootstrapAt(t *testing.T, flags ...string) string {
	t.Helper()
	code, out, problems := bootstrapWith(flags...)
	if code != 0 {
		t.Fatalf("%q: exit code %d, want 0: %s", flags, code, problems)
	}
	return out
}

func TestBootstrapRefusesFlags(t *testing.T) {
	for flags, want := range map[string]string{
		"--upstreams payments,,stock":           `--upstreams = "payments,,stock"; must be names, with commas between them`,
		"--xds a:1,,b:1":                        `--xds = "a:1,,b:1"; must be host:port of each replica, with commas between them`,
		"--xds a:1 --xds a:1":                   `control plane "a:1" is given twice`,
		"--xds http://a:18000":                  "leave out http://",
		"--xds 0.0.0.0:18000":                   "is an address to listen at; a proxy needs one to connect to",
		"--admin 9901":                          `--admin = "9901"; must be an IP address and port, or unix: and an absolute path`,
		"--admin unix:admin.sock":               `--admin = "unix:admin.sock"; must be unix: and an absolute path`,
		"--ready 15021":                         `--ready = "15021"; must be an IP address and port`,
		"--ready 127.0.0.1:9901":                "the admin and the readiness address are both 127.0.0.1:9901",
		"--config-dir /etc/envoy":               `--config-dir = "/etc/envoy" without --output-dir`,
		"--output-dir x --config-dir etc/envoy": `--config-dir = "etc/envoy"; must be an absolute path, on the machine of the proxy`,
		"--tls-cert /tls.crt":                   "a certificate needs its key",
	} {
		code, out, problems := bootstrapWith(strings.Fields(flags)...)
		if code != exitUsage || out != "" || !strings.Contains(problems, want) {
			t.Errorf("%s: exit code %d, want 2, and %q, want %q", flags, code, problems, want)
		}
	}
}

// TestBootstrapOnStandardOutput works with certificates too, and says what it cannot do.
func TestBootstrapOnStandardOutput(t *testing.T) {
	code, out, problems := bootstrapWith("--tls-ca", "/tls/ca.crt")
	if code != 0 || !strings.Contains(out, "filename: /tls/ca.crt\n") || !strings.Contains(problems, "give --output-dir") {
		t.Errorf("exit code %d, want 0, a bootstrap, and advice:\n%s%s", code, out, problems)
	}
	if _, _, problems = bootstrapWith(); problems != "" {
		t.Errorf("without TLS there is nothing to say: %s", problems)
	}
}

// TestBootstrapWritesWhatBelongsTogether, over what was there.
func TestBootstrapWritesWhatBelongsTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "envoy")
	for range 2 {
		code, out, problems := bootstrapWith("--tls-ca", "/tls/ca.crt", "--tls-cert", "/tls/tls.crt", "--tls-key", "/tls/tls.key",
			"--output-dir", dir, "--config-dir", "/etc/envoy")
		if code != 0 || out != "" || problems != "" {
			t.Fatalf("exit code %d, want 0 and nothing printed:\n%s%s", code, out, problems)
		}
	}
	var names []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got, want := strings.Join(names, " "), "certificate.yaml envoy.yaml trust.yaml"; got != want {
		t.Errorf("wrote %s, want %s", got, want)
	}
	text, err := os.ReadFile(filepath.Join(dir, "envoy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"path: /etc/envoy/trust.yaml\n", "path: /etc/envoy/certificate.yaml\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
