package deploytest

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// TestScale checks that the shop's autoscaler scales its Deployment, which begins with the smallest number of replicas.
func TestScale(t *testing.T) {
	o := loadObjects(t)
	d, a := get(t, o.deployments, "shop/shop"), get(t, o.autoscalers, "shop/shop")
	if ref := a.Spec.ScaleTargetRef; ref.Kind != "Deployment" || ref.Name != d.Name {
		t.Errorf("the autoscaler scales %s %s", ref.Kind, ref.Name)
	}
	if *a.Spec.MinReplicas != *d.Spec.Replicas || *a.Spec.MinReplicas != 3 || a.Spec.MaxReplicas != 10 {
		t.Errorf("%d to %d replicas, and %d at first; want 3 to 10, and 3 at first", *a.Spec.MinReplicas, a.Spec.MaxReplicas, *d.Spec.Replicas)
	}
	targets := map[corev1.ResourceName]int32{}
	for _, m := range a.Spec.Metrics {
		targets[m.Resource.Name] = *m.Resource.Target.AverageUtilization
	}
	if diff := cmp.Diff(map[corev1.ResourceName]int32{"cpu": 70, "memory": 80}, targets); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}

// TestNodesCanBeDrained checks that every disruption budget selects a Deployment, and allows at least one of its pods to
// be evicted.
func TestNodesCanBeDrained(t *testing.T) {
	o := loadObjects(t)
	for _, name := range []string{"breakwater/breakwater", "shop/shop"} {
		get(t, o.disruptions, name)
	}
	for name, b := range o.disruptions {
		d := get(t, o.deployments, name)
		if !selects(b.Spec.Selector.MatchLabels, d.Spec.Template.Labels) {
			t.Errorf("%s: the budget selects %v, which are not the Deployment's pods", name, b.Spec.Selector.MatchLabels)
		}
		if b.Spec.MaxUnavailable == nil && b.Spec.MinAvailable == nil ||
			b.Spec.MaxUnavailable != nil && b.Spec.MaxUnavailable.IntValue() < 1 ||
			b.Spec.MinAvailable != nil && b.Spec.MinAvailable.IntValue() >= int(*d.Spec.Replicas) {
			t.Errorf("%s: none of %d pods may be evicted: minAvailable %v, maxUnavailable %v", name, *d.Spec.Replicas, b.Spec.MinAvailable, b.Spec.MaxUnavailable)
		}
	}
}

// TestMonitoringIsFound checks the label by which the Prometheus operator of kube-prometheus-stack finds its objects.
func TestMonitoringIsFound(t *testing.T) {
	o := loadObjects(t)
	monitor, rule := get(t, o.monitors, "breakwater/breakwater"), get(t, o.rules, "breakwater/breakwater")
	if monitor.Labels["release"] != "prometheus" || rule.Labels["release"] != "prometheus" {
		t.Errorf("the labels are %v and %v; want release: prometheus, as the README says", monitor.Labels, rule.Labels)
	}
}

// TestNetwork checks that the network policy opens the container's ports, that it selects the proxies' namespaces, and
// that the monitor uses a port of the service.
func TestNetwork(t *testing.T) {
	o := loadObjects(t)
	c, n := controlPlane(t, o), get(t, o.networks, "breakwater/breakwater")
	opened := map[string]bool{}
	for _, in := range n.Spec.Ingress {
		if len(in.From) == 0 {
			t.Error("a rule allows all sources")
		}
		for _, p := range in.Ports {
			opened[p.Port.StrVal] = true
			if portOf(c, p.Port.StrVal) == 0 {
				t.Errorf("the container has no port %s", p.Port.StrVal)
			}
		}
	}
	if len(opened) != len(c.Ports) {
		t.Errorf("ports %v are opened; the container has %v", opened, c.Ports)
	}
	if mesh := n.Spec.Ingress[0].From[0].NamespaceSelector.MatchLabels; !selects(mesh, get(t, o.namespaces, "/shop").Labels) {
		t.Errorf("the network policy's labels %v do not select the shop's namespace", mesh)
	}
	service, monitor := get(t, o.services, "breakwater/breakwater"), get(t, o.monitors, "breakwater/breakwater")
	if !selects(monitor.Spec.Selector.MatchLabels, service.Labels) {
		t.Error("the monitor does not select the service")
	}
	for _, e := range monitor.Spec.Endpoints {
		if !slices.ContainsFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == e.Port }) || e.Path != "/metrics" {
			t.Errorf("the monitor requests %s%s; the service has %v", e.Port, e.Path, service.Spec.Ports)
		}
		if e.Scheme != "https" || e.TLSConfig == nil || e.TLSConfig.ServerName == nil || *e.TLSConfig.ServerName != "breakwater.breakwater.svc" ||
			e.TLSConfig.CA.Secret == nil || e.TLSConfig.CA.Secret.Name != "breakwater-tls" {
			t.Errorf("the monitor does not use TLS with the CA: %v %+v", e.Scheme, e.TLSConfig)
		}
		if !e.HonorLabels {
			t.Error("the operator's label service would replace ours")
		}
	}
}

// TestRulesAreTheSame in the PrometheusRule and in the file for Prometheus outside Kubernetes.
func TestRulesAreTheSame(t *testing.T) {
	var file struct {
		Groups []any `json:"groups"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "../../deploy/prometheus/rules.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(get(t, loadObjects(t).rules, "breakwater/breakwater").Spec.Groups)
	if err != nil {
		t.Fatal(err)
	}
	var groups []any
	if err := json.Unmarshal(text, &groups); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(file.Groups, groups); diff != "" {
		t.Errorf("the PrometheusRule is not deploy/prometheus/rules.yaml (-file +rule):\n%s", diff)
	}
}

// TestRunbooksCanBeElsewhere checks that the command in deploy/prometheus/README.md changes every runbook_url.
func TestRunbooksCanBeElsewhere(t *testing.T) {
	page := readFile(t, "../../deploy/prometheus/README.md")
	command := regexp.MustCompile(`(?m)^sed -i .*$`).FindString(page)
	files := strings.Fields(command)
	files = files[max(0, len(files)-2):]
	dir := t.TempDir()
	for _, name := range files {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(readFile(t, "../../"+name)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sh := exec.Command("sh", "-c", command)
	sh.Dir = dir
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	for _, name := range files {
		text := readFile(t, filepath.Join(dir, name))
		moved := strings.Count(text, "runbook_url: https://git.example.com/ops/breakwater/docs/troubleshooting.md#")
		if alerts := strings.Count(text, "- alert: "); alerts == 0 || moved != alerts {
			t.Errorf("%s: %d of %d runbook URLs have changed", name, moved, alerts)
		}
	}
}

// TestPoliciesAreTheSame in the mesh, in the shop's own process and in the example. The base has none of the shop's
// policies.
func TestPoliciesAreTheSame(t *testing.T) {
	o := loadObjects(t)
	base, shop := sources(t, kustomizations[0])["policies.yaml"], get(t, o.configMaps, "shop/shop-policies").Data
	mesh := get(t, o.configMaps, "breakwater/breakwater-policies").Data
	if strings.Contains(base, "Upstream\n") || strings.Contains(base, "services:") {
		t.Errorf("the base has policies of an application:\n%s", base)
	}
	if _, ok := mesh["defaults.yaml"]; !ok {
		t.Error("the shop's policies replace the base's instead of adding to them")
	}
	delete(mesh, "defaults.yaml")
	if diff := cmp.Diff(mesh, shop); diff != "" {
		t.Errorf("policies (-mesh +shop):\n%s", diff)
	}
	const short = "circuit-breaker.yaml"
	if diff := cmp.Diff(readFile(t, "../../examples/shop/policies/"+short), mesh[short]); diff != "" {
		t.Errorf("%s (-example +mesh):\n%s", short, diff)
	}
}

// TestShopTakesItsFlags checks that the example accepts the flags of its container, and refuses unknown ones.
func TestShopTakesItsFlags(t *testing.T) {
	shop := filepath.Join(t.TempDir(), "shop")
	if out, err := exec.Command("go", "build", "-C", "../../examples/shop", "-o", shop, ".").CombinedOutput(); err != nil {
		t.Fatalf("building the shop: %v\n%s", err, out)
	}
	_, application := sidecar(t, loadObjects(t))
	help := func(args ...string) error { return exec.Command(shop, append(args, "-h")...).Run() }
	if err := help(application.Args...); err != nil {
		t.Errorf("the shop does not take %q: %v", application.Args, err)
	}
	if err := help("--no-such-flag"); err == nil {
		t.Error("the shop accepts an unknown flag")
	}
}

// TestConfigMapSwap checks that a changed ConfigMap, which is a new directory behind a symbolic link, is in force without
// a restart.
func TestConfigMapSwap(t *testing.T) {
	o, mounted := loadObjects(t), t.TempDir()
	data := get(t, o.configMaps, "breakwater/breakwater-policies").Data
	// The kubelet makes files that are links into ..data, which is a link to a directory with a time in its name.
	swap := func(version string) {
		t.Helper()
		dir := filepath.Join(mounted, "..2026_"+version)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		writeAll(t, dir, data)
		next := filepath.Join(mounted, "..data_tmp")
		if err := os.Symlink(filepath.Base(dir), next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(mounted, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("1")
	for name := range data {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(mounted, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := serveFrom(t, o, certificates(t), mounted)
	before := revision(t, s)
	data["circuit-breaker.yaml"] = strings.Replace(data["circuit-breaker.yaml"], "failure_threshold: 5", "failure_threshold: 6", 1)
	swap("2")
	waitFor(t, "the changed policy is in force", func() error {
		if revision(t, s) == before {
			return fmt.Errorf("revision %s still", before)
		}
		return nil
	})
}

var inForce = regexp.MustCompile(`breakwater_policy_info\{revision="([0-9a-f]+)"\} 1`)

// revision returns the revision of the policy in force.
func revision(t *testing.T, s *server) string {
	t.Helper()
	r, err := kubelet().Get("https://" + s.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := inForce.FindSubmatch(body)
	if m == nil {
		t.Fatal("/metrics has no revision")
	}
	return string(m[1])
}

// TestDockerfile checks that the images have existing programs, are built with the Go version of go.mod, and do not run as
// root.
func TestDockerfile(t *testing.T) {
	text := readFile(t, "../../Dockerfile")
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readFile(t, "../../go.mod"))[1]
	stages := strings.Split(text, "\nFROM ")[1:]
	if len(stages) != 3 || !strings.HasPrefix(stages[0], "golang:"+goVersion+" ") {
		t.Fatalf("%d stages, the first begins with %.20q; want one with Go %s, and two images", len(stages), stages[0], goVersion)
	}
	for _, m := range regexp.MustCompile(`go build (?:-C (\S+) )?.* (\S+)\n`).FindAllStringSubmatch(stages[0], -1) {
		pkg := filepath.Join("../..", m[1], m[2])
		if sources, err := filepath.Glob(filepath.Join(pkg, "main.go")); err != nil || len(sources) == 0 {
			t.Errorf("%s is no program", pkg)
		}
	}
	if n := strings.Count(stages[0], "CGO_ENABLED=0 go build"); n != 2 {
		t.Errorf("%d static programs, want 2", n)
	}
	for i, name := range []string{"shop", "breakwater"} {
		for _, want := range []string{
			"gcr.io/distroless/static", ":nonroot AS " + name, "COPY --from=build /out/" + name + " /" + name,
			"USER 65532:65532", `ENTRYPOINT ["/` + name + `"]`,
		} {
			if !strings.Contains(stages[i+1], want) {
				t.Errorf("image %s has no %q:\n%s", name, want, stages[i+1])
			}
		}
	}
}
