package bootstrap

import (
	"bytes"
	"flag"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/google/go-cmp/cmp"

	_ "breakwater.dev/internal/golden" // the flag -update
	"breakwater.dev/xds/internal/connect"
)

// secretType is the URL of the type of secrets.
const secretType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

// documented returns the options that deploy/envoy/README.md names.
func documented() Options {
	return Options{
		NodeID:      "app-1",
		NodeCluster: "app",
		XDS:         []string{"127.0.0.1:18000"},
		Listen:      netip.MustParseAddrPort("127.0.0.1:10000"),
		Admin:       netip.MustParseAddrPort("127.0.0.1:9901"),
	}
}

func printed(t *testing.T, o Options) string {
	t.Helper()
	out, err := YAML(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestDeployedBootstrapIsWhatYAMLPrints(t *testing.T) {
	path := filepath.Join("..", "..", "deploy", "envoy", "bootstrap.yaml")
	got := []byte(printed(t, documented()))
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-want +got); if the new output is right, run the test with -update:\n%s",
			path, cmp.Diff(string(want), string(got)))
	}
}

func TestOptionsShowUp(t *testing.T) {
	o := documented()
	o.XDS = []string{"control.example:443"}
	o.Upstreams = []string{"payments", "search"}
	o.TLS = &TLS{CAFile: "/ca.pem", CertFile: "/cert.pem", KeyFile: "/key.pem"}
	got := printed(t, o)
	for _, want := range []string{
		"breakwater.dev/upstreams:\n      - payments\n      - search\n",
		"name: envoy.clusters.dns\n", "address: control.example\n", "port_value: 443\n",
		"sni: control.example\n", "exact: control.example\n",
		"filename: /ca.pem\n", "filename: /cert.pem\n", "filename: /key.pem\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	o.TLS = &TLS{ServerName: "breakwater"}
	got = printed(t, o)
	for _, want := range []string{"sni: breakwater\n", "exact: breakwater\n", "filename: " + connect.TrustFile("") + "\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// An IP cannot be a server name (RFC 6066), so only the certificate is checked for it.
func TestTLSToAnAddress(t *testing.T) {
	for _, c := range []struct{ control, name, address, proven string }{
		{"[::1]:18000", "", "::1", "::1"},
		{"[FD00:0::1]:18000", "", "FD00:0::1", "fd00::1"},
		{"10.0.0.1:18000", "FD00::0:2", "10.0.0.1", "fd00::2"},
		{"10.0.0.1:18000", "::ffff:10.0.0.2", "10.0.0.1", "10.0.0.2"},
	} {
		o := documented()
		o.XDS, o.TLS = []string{c.control}, &TLS{ServerName: c.name}
		got := printed(t, o)
		for _, want := range []string{"type: STATIC\n", "address: " + c.address + "\n", "san_type: IP_ADDRESS\n", "exact: " + c.proven + "\n"} {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in\n%s", c.control, want, got)
			}
		}
		if strings.Contains(got, "sni:") {
			t.Errorf("%s: an address is sent as server name:\n%s", c.control, got)
		}
	}
}

// TestReplicas: a proxy avoids replicas that have failed, unless there is one address only. A name may have several.
func TestReplicas(t *testing.T) {
	more := []string{"outlier_detection:", "consecutive_local_origin_failure: 1\n", "connection_idle_interval: ", "update_merge_window: 0s\n", "max_interval: 0.500s\n"}
	for _, c := range []struct {
		xds  []string
		kind string
		more bool
	}{
		{[]string{"10.0.0.1:18000"}, "type: STATIC\n", false},
		{[]string{"10.0.0.1:18000", "[fd00::1]:18000"}, "type: STATIC\n", true},
		{[]string{"control.example:18000"}, "name: envoy.clusters.dns\n", true},
		{[]string{"a.example:18000", "10.0.0.1:18001"}, "name: envoy.clusters.dns\n", true},
	} {
		o := documented()
		o.XDS = c.xds
		got := printed(t, o)
		want := []string{c.kind}
		for _, x := range c.xds {
			host, port, err := net.SplitHostPort(x)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, "address: "+host+"\n", "port_value: "+port+"\n")
		}
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: no %q in\n%s", c.xds, w, got)
			}
		}
		for _, m := range more {
			if strings.Contains(got, m) != c.more {
				t.Errorf("%s: has %q: %t, want %t:\n%s", c.xds, m, !c.more, c.more, got)
			}
		}
	}
}

// TestTLSToReplicas: each replica may prove any of the names, and the first one is sent as server name, unless one name is given.
func TestTLSToReplicas(t *testing.T) {
	o := documented()
	o.XDS = []string{"10.0.0.1:18000", "b.example:18000", "b.example:18001", "c.example:18000"}
	for given, want := range map[string]string{
		"":     "IP_ADDRESS 10.0.0.1, DNS b.example, DNS c.example, sni b.example",
		"name": "DNS name, sni name",
	} {
		o.TLS = &TLS{ServerName: given}
		var got []string
		for _, found := range regexp.MustCompile(`(?m)san_type: (\w+)\n *matcher:\n *exact: (\S+)|^ *(sni): (\S+)$`).FindAllStringSubmatch(printed(t, o), -1) {
			got = append(got, strings.TrimSpace(strings.Join(found[1:3], " ")+strings.Join(found[3:], " ")))
		}
		if got := strings.Join(got, ", "); got != want {
			t.Errorf("server name %q: got %s, want %s", given, got, want)
		}
	}
}

func TestEveryProblemIsNamed(t *testing.T) {
	cases := []struct {
		name  string
		spoil func(*Options)
		want  []string
	}{
		{"nothing given", func(o *Options) { *o = Options{} }, []string{
			"the node needs an id", "the node needs a cluster", `the control plane needs an address`,
			`the listening address "invalid AddrPort" is not ip:port`, `the admin address "invalid AddrPort" is not ip:port`}},
		{"an id that no proxy may have", func(o *Options) { o.NodeID = "app\n1" },
			[]string{`the node id "app\n1" must be printable and have at most 256 bytes`}},
		{"names that are too long", func(o *Options) {
			o.NodeID, o.NodeCluster = strings.Repeat("i", 257), strings.Repeat("c", 257)
		}, []string{
			`the node id "` + strings.Repeat("i", 40) + `" must be printable and have at most 256 bytes`,
			`the cluster of the node, "` + strings.Repeat("c", 40) + `", must have at most 256 bytes`,
		}},
		{"no port", func(o *Options) { o.XDS = []string{"control.example"} }, []string{`control plane "control.example" is not host:port`}},
		{"no host", func(o *Options) { o.XDS = []string{":18000"} }, []string{`control plane ":18000" is not host:port`}},
		{"port 0", func(o *Options) { o.XDS = []string{"a:0"} }, []string{`control plane "a:0" is not host:port`}},
		{"port too large", func(o *Options) { o.XDS = []string{"a:65536"} }, []string{`control plane "a:65536" is not host:port`}},
		{"port by name", func(o *Options) { o.XDS = []string{"a:http"} }, []string{`control plane "a:http" is not host:port`}},
		{"a URL", func(o *Options) { o.XDS = []string{"https://a:18000"} }, []string{`control plane "https://a:18000" is not host:port; leave out https://`}},
		{"an IPv6 address alone", func(o *Options) { o.XDS = []string{"fd00::1"} },
			[]string{`control plane "fd00::1" is not host:port; give the port too, as in [fd00::1]:18000`}},
		{"two in one", func(o *Options) { o.XDS = []string{"a:1,b:1", "a b:1"} },
			[]string{`control plane "a:1,b:1" is not host:port`, `control plane "a b:1" is not host:port`}},
		{"an address to listen at", func(o *Options) { o.XDS = []string{"0.0.0.0:18000", "[::]:18000"} }, []string{
			`control plane "0.0.0.0:18000" is an address to listen at; a proxy needs one to connect to`,
			`control plane "[::]:18000" is an address to listen at; a proxy needs one to connect to`}},
		{"one replica twice", func(o *Options) { o.XDS = []string{"a:1", "b:1", "a:1"} }, []string{`control plane "a:1" is given twice`}},
		{"listening port 0", func(o *Options) { o.Listen = netip.MustParseAddrPort("127.0.0.1:0") },
			[]string{`the listening address "127.0.0.1:0" is not ip:port`}},
		{"one port twice", func(o *Options) { o.Admin = o.Listen },
			[]string{"the listening and the admin address are both 127.0.0.1:10000"}},
		{"upstream without a name", func(o *Options) { o.Upstreams = []string{"", " stock"} },
			[]string{`"" is not the name of an upstream`, `" stock" is not the name of an upstream`}},
		{"socket by a relative path", func(o *Options) { o.AdminSocket = "admin.sock" },
			[]string{`the admin socket "admin.sock" is not an absolute path`}},
		{"readiness at a taken port", func(o *Options) { o.Ready = o.Listen },
			[]string{"the listening and the readiness address are both 127.0.0.1:10000"}},
		{"secrets in a relative directory", func(o *Options) { o.TLS = &TLS{Directory: "envoy"} },
			[]string{`the directory of secrets "envoy" is not an absolute path`}},
		{"half a certificate", func(o *Options) { o.TLS = &TLS{KeyFile: "/key.pem"} },
			[]string{"a certificate needs its key, and a key its certificate"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := documented()
			c.spoil(&o)
			out, err := YAML(o)
			if err == nil || out != nil {
				t.Fatalf("got %q, %v, want an error and nothing printed", out, err)
			}
			if got, want := err.Error(), "bootstrap: "+strings.Join(c.want, "\n"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

func TestControlPlaneClusterHasNoLimits(t *testing.T) {
	b, err := New(documented())
	if err != nil {
		t.Fatal(err)
	}
	thresholds := b.GetStaticResources().GetClusters()[0].GetCircuitBreakers().GetThresholds()
	if got, want := len(thresholds), len(corev3.RoutingPriority_name); got != want {
		t.Fatalf("thresholds of %d priorities, want %d", got, want)
	}
	for _, th := range thresholds {
		for _, limit := range []uint32{
			th.GetMaxConnections().GetValue(), th.GetMaxPendingRequests().GetValue(),
			th.GetMaxRequests().GetValue(), th.GetMaxRetries().GetValue(),
		} {
			if limit != 1<<32-1 {
				t.Errorf("priority %s has a limit of %d", th.GetPriority(), limit)
			}
		}
	}
}

// TestOnlyLoopbackIsTrusted: the limit on cancelled requests protects a proxy that others reach.
func TestOnlyLoopbackIsTrusted(t *testing.T) {
	for listen, trusted := range map[string]bool{
		"127.0.0.1:10000": true, "127.1.2.3:10000": true, "[::1]:10000": true, "0.0.0.0:10000": false, "10.0.0.7:10000": false, "[::]:10000": false,
	} {
		o := documented()
		o.Listen = netip.MustParseAddrPort(listen)
		if got := strings.Contains(printed(t, o), prematureResets); got != trusted {
			t.Errorf("%s: trusted %t, want %t", listen, got, trusted)
		}
		o.Ready = netip.MustParseAddrPort("0.0.0.0:15021")
		text := printed(t, o)
		if got := strings.Contains(text, prematureResets); got != trusted {
			t.Errorf("%s with a readiness listener: trusted %t, want %t", listen, got, trusted)
		}
		if !strings.Contains(text, "codec_type: HTTP1\n") {
			t.Errorf("%s: a readiness listener takes HTTP/2, of which others can cancel as many requests as they like:\n%s", listen, text)
		}
	}
}

// TestStreamsComeBackSoon: every stream of resources in the bootstrap bounds its pauses.
func TestStreamsComeBackSoon(t *testing.T) {
	text := printed(t, documented())
	streams, bounded := strings.Count(text, "api_type: DELTA_GRPC"), strings.Count(text, "max_interval: 2s")
	if streams != 1 || bounded != streams {
		t.Errorf("%d of %d streams bound their pauses, want 1 of 1", bounded, streams)
	}
}

// TestSecrets: the bootstrap refers to the files that are written beside it.
func TestSecrets(t *testing.T) {
	o := documented()
	if files, err := Secrets(o); err != nil || files != nil {
		t.Errorf("without TLS: %v, %v, want nothing", files, err)
	}
	o.TLS = &TLS{CAFile: "/tls/ca.crt", CertFile: "/tls/tls.crt", KeyFile: "/keys/tls.key", Directory: "/etc/envoy"}
	text := printed(t, o)
	files, err := Secrets(o)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"trust.yaml": "resources:\n  - '@type': " + secretType + "\n    name: control-plane-ca\n    validation_context:\n" +
			"      trusted_ca:\n        filename: /tls/ca.crt\n      watched_directory:\n        path: /tls\n",
		"certificate.yaml": "resources:\n  - '@type': " + secretType + "\n    name: proxy-certificate\n    tls_certificate:\n" +
			"      certificate_chain:\n        filename: /tls/tls.crt\n      private_key:\n        filename: /keys/tls.key\n",
	}
	for _, f := range files {
		if diff := cmp.Diff(want[f.Name], string(f.Data)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", f.Name, diff)
		}
		delete(want, f.Name)
		if path := "path: /etc/envoy/" + f.Name + "\n"; !strings.Contains(text, path) {
			t.Errorf("the bootstrap has no %q:\n%s", path, text)
		}
	}
	if len(want) > 0 {
		t.Errorf("not written: %v", want)
	}
	if strings.Contains(text, "/tls/") {
		t.Errorf("the bootstrap names certificates itself, which Envoy reads once:\n%s", text)
	}
}
