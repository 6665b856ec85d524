package deploytest

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// patience is how long a test waits for a process before it fails.
const patience = 30 * time.Second

// binary is the breakwater under test; TestMain builds it from this tree.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "deploytest")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "breakwater")
		build := exec.Command("go", "build", "-C", "../..", "-buildvcs=false", "-o", binary, "./cmd/controlplane")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building breakwater: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// breakwater runs a command of the binary, waits until it ends, and returns its output.
func breakwater(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("breakwater %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), err
}

// TestPoliciesAreValid runs the binary's validate command on the policies of the base, on those with the shop, and on
// broken ones.
func TestPoliciesAreValid(t *testing.T) {
	var base corev1.ConfigMap
	if err := yaml.Unmarshal([]byte(sources(t, kustomizations[0])["policies.yaml"]), &base); err != nil {
		t.Fatal(err)
	}
	data := get(t, loadObjects(t).configMaps, "breakwater/breakwater-policies").Data
	for _, policies := range []map[string]string{base.Data, data} {
		dir := t.TempDir()
		writeAll(t, dir, policies)
		if out, err := breakwater(t, "validate", dir); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	dir := t.TempDir()
	for name := range data {
		data[name] = strings.Replace(data[name], "failure_threshold: 5", "failure_threshold: 0.5", 1)
	}
	writeAll(t, dir, data)
	if _, err := breakwater(t, "validate", dir); err == nil {
		t.Error("a broken policy was accepted")
	}
}

func writeAll(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// certificates runs the README's script, and returns the directory with the certificates.
func certificates(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command(filepath.Join(manifests, "certificates.sh"), dir).CombinedOutput(); err != nil {
		t.Fatalf("certificates.sh: %v\n%s", err, out)
	}
	return dir
}

// server is a running control plane.
type server struct {
	xds, http string // addresses
	cmd       *exec.Cmd
	exited    chan struct{} // closed when the process has ended
	err       error         // valid once exited is closed
}

// serve starts the control plane with the arguments of its container, and its store if it has one. Only the mounted
// directories and the addresses are replaced, which a test does not have.
func serve(t *testing.T, o *objects, certs string) *server {
	t.Helper()
	policies := t.TempDir()
	writeAll(t, policies, get(t, o.configMaps, "breakwater/breakwater-policies").Data)
	return serveFrom(t, o, certs, policies)
}

// serveFrom is serve with the policies in a directory.
func serveFrom(t *testing.T, o *objects, certs, policies string) *server {
	t.Helper()
	return serveReplica(t, o, certs, policies, runStore(t, o, certs))
}

// serveReplica is serveFrom with a store that runs already.
func serveReplica(t *testing.T, o *objects, certs, policies, store string) *server {
	t.Helper()
	c, ip := controlPlane(t, o), ownIP(t)
	with := []string{
		"breakwater-valkey.breakwater.svc:6379", store,
		"$(POD_IP)", ip, "$(POD_NAME)", "breakwater-" + ip,
		"=0.0.0.0:", "=" + ip + ":",
	}
	for _, m := range c.VolumeMounts {
		with = append(with, m.MountPath, map[string]string{
			"policies": policies, "tls": filepath.Join(certs, "control-plane"), "store": filepath.Join(certs, "store"),
			"state": t.TempDir(), "admin": adminToken(t),
		}[m.Name])
	}
	replace := strings.NewReplacer(with...)
	var args []string
	for _, a := range c.Args {
		args = append(args, replace.Replace(a))
	}
	s := &server{cmd: exec.Command(binary, args...), exited: make(chan struct{})}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	serving := make(chan struct{})
	go s.follow(stderr, serving)
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // the process may have ended already
		<-s.exited
	})
	select {
	case <-serving:
	case <-s.exited:
		t.Fatalf("breakwater %s: %v", strings.Join(args, " "), s.err)
	case <-time.After(patience):
		t.Fatal("the control plane has not logged that it is serving")
	}
	return s
}

// adminToken returns a directory with a token file, such as the pod has for its Secret.
func adminToken(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	writeAll(t, dir, map[string]string{"token": "a-token-of-the-test"})
	return dir
}

// follow reads the log until the process ends. It closes serving at the line with the
// addresses.
func (s *server) follow(stderr io.Reader, serving chan struct{}) {
	defer close(s.exited)
	var last string
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		last = lines.Text()
		var line struct{ Msg, XDS, HTTP string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			s.xds, s.http = line.XDS, line.HTTP
			close(serving)
		}
	}
	if s.err = s.cmd.Wait(); s.err != nil {
		s.err = fmt.Errorf("%w; last line: %s", s.err, last)
	}
}

// mountPath returns the path at which a container mounts a volume.
func mountPath(t *testing.T, c corev1.Container, volume string) string {
	t.Helper()
	for _, m := range c.VolumeMounts {
		if m.Name == volume {
			return m.MountPath
		}
	}
	t.Fatalf("container %s mounts no volume %s", c.Name, volume)
	return ""
}

// TestControlPlane starts the container's command, requests its health checks, connects with
// and without a certificate, and stops it as the kubelet would.
func TestControlPlane(t *testing.T) {
	o, certs := loadObjects(t), certificates(t)
	s := serve(t, o, certs)
	pod := get(t, o.deployments, "breakwater/breakwater").Spec.Template.Spec
	for name, probe := range map[string]*corev1.Probe{
		"startup": pod.Containers[0].StartupProbe, "liveness": pod.Containers[0].LivenessProbe, "readiness": pod.Containers[0].ReadinessProbe,
	} {
		if port := probe.HTTPGet.Port.StrVal; port != "http" {
			t.Errorf("the %s probe uses port %q, want http", name, port)
		}
		if scheme := probe.HTTPGet.Scheme; scheme != corev1.URISchemeHTTPS {
			t.Errorf("the %s probe has the scheme %q, want HTTPS", name, scheme)
		}
		url := "https://" + s.http + probe.HTTPGet.Path
		waitFor(t, url+" answers 200", func() error { return getOK(url) })
	}

	proxy, err := tls.LoadX509KeyPair(filepath.Join(certs, "proxy/tls.crt"), filepath.Join(certs, "proxy/tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := handshake(s.xds, certs, proxy); err != nil {
		t.Errorf("a proxy with a certificate: %v", err)
	}
	if err := handshake(s.xds, certs); err == nil {
		t.Error("a client without a certificate was let in")
	}

	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.exited:
		if s.err != nil {
			t.Errorf("after SIGTERM: %v", s.err)
		}
	case <-time.After(time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second):
		t.Error("the control plane outlives its grace period")
	}
}

// kubelet returns a client that does not check certificates, as a kubelet does not.
func kubelet() *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
}

// getOK fetches a URL, and returns an error unless the status is 200.
func getOK(url string) error {
	r, err := kubelet().Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", r.StatusCode, body)
	}
	return err
}

// handshake connects as a sidecar does, by the name of the service. It reads from the
// connection, because a server refuses a client's certificate only after the client's part
// of the handshake.
func handshake(address, certs string, own ...tls.Certificate) error {
	roots, err := rootsOf(filepath.Join(certs, "ca.crt"))
	if err != nil {
		return err
	}
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", address, &tls.Config{
		RootCAs: roots, Certificates: own, ServerName: "breakwater.breakwater.svc", NextProtos: []string{"h2"},
	})
	if err != nil {
		return err
	}
	defer c.Close()
	// The preface of HTTP/2 and empty settings; the server answers with its own settings.
	if _, err := io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

// waitFor calls check until it returns nil. It fails the test after 30 s.
func waitFor(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.After(patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	err := errors.New("not checked yet")
	for err != nil {
		if err = check(); err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("%s: %v", what, err)
		}
	}
}
