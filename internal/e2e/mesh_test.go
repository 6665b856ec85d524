package e2e

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"breakwater.dev/internal/envoybin"
)

// mesh is a control plane with a proxy, and a caller of the proxy.
type mesh struct {
	*caller
	ip       string
	policies string // the directory of the policy
	workers  int    // the number of the proxy's workers; 0: two
	control  *process
	envoy    *process
}

// newMesh starts a control plane with a policy, and an Envoy of the workload "shop". It returns when the proxy is ready.
func newMesh(t *testing.T, ip, policyText string) *mesh {
	t.Helper()
	m := prepareMesh(t, ip, policyText)
	m.startControl(t)
	m.startEnvoy(t)
	return m
}

// prepareMesh writes the policy, and starts nothing.
func prepareMesh(t *testing.T, ip, policyText string) *mesh {
	t.Helper()
	m := &mesh{ip: ip, policies: t.TempDir(), caller: newCaller(t, ip+":10000")}
	m.write(t, "policy.yaml", policyText)
	return m
}

// write replaces a policy file at once, by a rename.
func (m *mesh) write(t *testing.T, name, text string) {
	t.Helper()
	hidden := filepath.Join(m.policies, "."+name)
	if err := os.WriteFile(hidden, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(hidden, filepath.Join(m.policies, name)); err != nil {
		t.Fatal(err)
	}
}

// startControl starts the control plane, and returns when it is ready.
func (m *mesh) startControl(t *testing.T, flags ...string) {
	t.Helper()
	args := append([]string{"serve", "--policy", m.policies,
		"--xds-listen", m.ip + ":18000", "--http-listen", m.ip + ":18080"}, flags...)
	m.control = start(t, "control plane", binary, args...)
	m.ready(t, m.control, "http://"+m.ip+":18080/health/ready")
}

// startEnvoy starts a proxy with the bootstrap that the command prints, after some edits.
func (m *mesh) startEnvoy(t *testing.T, edits ...*strings.Replacer) {
	t.Helper()
	text := m.bootstrap(t)
	for _, e := range edits {
		text = e.Replace(text)
	}
	m.runEnvoy(t, text)
}

// bootstrap returns the bootstrap of a proxy of the workload "shop". It gets the control plane of the mesh, unless the flags name
// another.
func (m *mesh) bootstrap(t *testing.T, flags ...string) string {
	t.Helper()
	args := []string{"bootstrap", "--node-id", "shop-1", "--node-cluster", "shop", "--listen", m.egress, "--admin", m.ip + ":9901"}
	if !slices.Contains(flags, "--xds") {
		args = append(args, "--xds", m.ip+":18000")
	}
	out, err := exec.Command(binary, append(args, flags...)...).Output()
	if err != nil {
		t.Fatalf("bootstrap: %v", err)
	}
	return string(out)
}

// runEnvoy starts a proxy, and returns when it is ready.
func (m *mesh) runEnvoy(t *testing.T, bootstrap string) {
	t.Helper()
	m.launchEnvoy(t, bootstrap)
	m.ready(t, m.envoy, "http://"+m.ip+":9901/ready")
}

// launchEnvoy starts a proxy, and returns at once.
func (m *mesh) launchEnvoy(t *testing.T, bootstrap string) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(config, []byte(bootstrap), 0o644); err != nil {
		t.Fatal(err)
	}
	m.envoy = start(t, "envoy", envoybin.Path(t), "-c", config, "--use-dynamic-base-id",
		"--concurrency", strconv.Itoa(cmp.Or(m.workers, 2)), "-l", "warn")
}

// ready waits until a process answers at a URL.
func (m *mesh) ready(t *testing.T, p *process, url string) {
	t.Helper()
	eventually(t, url, func() error {
		p.running(t)
		_, err := fetch(url)
		return err
	})
}

// fetch returns the body of a page, and an error unless the status is 200.
func fetch(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %d: %s", url, resp.StatusCode, body)
	}
	return string(body), err
}

// page reads a page of the control plane.
func (m *mesh) page(t *testing.T, path string) string {
	t.Helper()
	body, err := fetch("http://" + m.ip + ":18080" + path)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// metric reads one series of the control plane. The series is written as in the text format.
func (m *mesh) metric(t *testing.T, series string) float64 {
	t.Helper()
	v, err := m.tryMetric(series)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// tryMetric is [mesh.metric] with an error if there is no such series.
func (m *mesh) tryMetric(series string) (float64, error) {
	body, err := fetch("http://" + m.ip + ":18080/metrics")
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(body)
	if found == nil {
		return 0, fmt.Errorf("the metrics have no series %s", series)
	}
	return strconv.ParseFloat(found[1], 64)
}

// pushes returns the number of xDS responses that the control plane has sent, without runtime layers, which are sent again and
// again.
func (m *mesh) pushes(t *testing.T) float64 {
	t.Helper()
	sum := 0.0
	for _, line := range strings.Split(m.page(t, "/metrics"), "\n") {
		if strings.HasPrefix(line, "breakwater_xds_pushes_total{") && !strings.Contains(line, `type="Runtime"`) {
			v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += v
		}
	}
	return sum
}

// breakerStatus has the fields of /breakers/KEY that tests need.
type breakerStatus struct {
	State  string `json:"state"`
	Owner  string `json:"owner"`
	Probes int    `json:"probes_in_flight"`
	Calls  int    `json:"in_flight"`
	Trip   tripped
	Counts struct {
		Requests, Rejected, Successes, Failures, Timeouts, Ignored int
	} `json:"counts"`
}

func (m *mesh) breaker(t *testing.T, key string) breakerStatus {
	t.Helper()
	var s breakerStatus
	if err := json.Unmarshal([]byte(m.page(t, "/breakers/"+key)), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// settled waits until all calls of a breaker with the data path Inline are counted. A good call is counted when its stream
// to the control plane ends, a moment after its caller has the response. So it could come after a failure of the next call.
func (m *mesh) settled(t *testing.T, keys ...string) {
	t.Helper()
	for _, key := range keys {
		eventually(t, "all calls of "+key+" are counted", func() error {
			if n := m.breaker(t, key).Calls; n > 0 {
				return fmt.Errorf("%d are in flight", n)
			}
			return nil
		})
	}
}

// state waits until a breaker is in a state.
func (m *mesh) state(t *testing.T, key, want string) {
	t.Helper()
	eventually(t, "breaker "+key+" "+want, func() error { return m.inState(t, key, want) })
}

// inState returns an error unless a breaker is in a state.
func (m *mesh) inState(t *testing.T, key, want string) error {
	t.Helper()
	if got := m.breaker(t, key).State; got != want {
		return fmt.Errorf("the breaker is %s", got)
	}
	return nil
}

// revision waits until the policy in force is not the old one, and returns its revision. By then the breakers, the gates and
// the resources belong to the policy.
func (m *mesh) revision(t *testing.T, old string) string {
	t.Helper()
	var c struct {
		Revision string `json:"revision"`
	}
	eventually(t, "new policy in force", func() error {
		if err := json.Unmarshal([]byte(m.page(t, "/config")), &c); err != nil {
			return err
		}
		if c.Revision == old {
			return errors.New("the old revision is still in force")
		}
		// The page changes before the last step, and the line is logged after it.
		const line = `msg="policy in force" revision=`
		log := m.control.output()
		if i := strings.LastIndex(log, line); i < 0 || !strings.HasPrefix(log[i+len(line):], c.Revision+" ") {
			return fmt.Errorf("the log does not say that %s is in force", c.Revision)
		}
		return nil
	})
	return c.Revision
}

// terminate asks the control plane to stop and returns its exit code.
func (m *mesh) terminate(t *testing.T) int {
	t.Helper()
	m.control.signal(t, syscall.SIGTERM)
	return m.control.ends(t)
}

// service returns an Upstream with one endpoint, as YAML. more has lines of its spec.
func service(name, address string, more ...string) string {
	host, port, _ := strings.Cut(address, ":")
	return fmt.Sprintf("---\napiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: %s}\n"+
		"spec:\n  endpoints:\n  - {address: %s, port: %s}\n%s\n", name, host, port, indent(more))
}

// guard returns a BreakerPolicy for an upstream in the data path Inline, as YAML. fields has lines of its spec. In this data
// path every call waits for a decision, so a test can know exactly what happens to the next call.
func guard(name string, fields ...string) string {
	return policyFor(name, append([]string{"dataPath: Inline"}, fields...)...)
}

// adaptive returns a BreakerPolicy for an upstream in the data path Adaptive, which is the default.
func adaptive(name string, fields ...string) string { return policyFor(name, fields...) }

// policyFor returns a BreakerPolicy for an upstream, as YAML. fields has lines of its spec.
func policyFor(name string, fields ...string) string {
	return fmt.Sprintf("---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: %s}\n"+
		"spec:\n  targetRefs:\n  - {kind: Upstream, name: %s}\n%s\n", name, name, indent(fields))
}

func indent(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString("  " + l + "\n")
	}
	return b.String()
}
