package bootstrap

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"breakwater.dev/internal/envoybin"
	"breakwater.dev/internal/testca"
)

func TestEnvoyTakesTheBootstrap(t *testing.T) {
	ca := testca.New(t)
	ca.Issue(t, "proxy", "127.0.0.1")
	caFile, certFile, keyFile := ca.Path("ca.pem"), ca.Path("proxy.pem"), ca.Path("proxy.key")
	options := []func(*Options){
		func(*Options) {},
		func(o *Options) { o.NodeID, o.Upstreams = "n", []string{"no", "1:30"} },
		func(o *Options) { o.XDS = []string{"control-plane.example:443"} },
		func(o *Options) { o.XDS = []string{"10.0.0.1:18000", "[fd00::1]:18000"} },
		func(o *Options) {
			o.XDS, o.TLS = []string{"control-plane.example:443", "10.0.0.1:18000"}, &TLS{CAFile: caFile}
		},
		func(o *Options) { o.TLS = &TLS{CAFile: caFile, CertFile: certFile, KeyFile: keyFile} },
		func(o *Options) {
			o.XDS, o.Admin = []string{"[::1]:18000"}, netip.MustParseAddrPort("[::1]:9901")
			o.TLS = &TLS{CAFile: caFile}
		},
	}
	for _, apply := range options {
		o := documented()
		apply(&o)
		path, text := filepath.Join(t.TempDir(), "envoy.yaml"), printed(t, o)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), envoybin.Path(t), "--mode", "validate", "-l", "warning", "-c", path).CombinedOutput()
		if err != nil {
			t.Fatalf("Envoy refuses it: %v\n%s\n%s", err, out, text)
		}
		if len(out) > 0 && string(out) != "configuration '"+path+"' OK\n" {
			t.Errorf("Envoy warns:\n%s", out)
		}
	}
}
