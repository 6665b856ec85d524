package deploytest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kubectl-validate/pkg/openapiclient"
	"sigs.k8s.io/kubectl-validate/pkg/validator"
	"sigs.k8s.io/kustomize/api/krusty"
	kustomize "sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// manifests is the directory with the base, which has the control plane, and an application's overlay.
const manifests = "../../deploy/k8s"

var kustomizations = []string{filepath.Join(manifests, "base"), filepath.Join(manifests, "shop")}

// newValidator returns a validator with the newest Kubernetes schemas that the library has.
func newValidator(t *testing.T) *validator.Validator {
	t.Helper()
	v, err := validator.New(openapiclient.NewHardcodedBuiltins("1.30"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// operatorTypes are the kinds of the Prometheus operator. Its Go types serve as their schemas.
var operatorTypes = map[string]func() any{
	"ServiceMonitor": func() any { return new(monitoringv1.ServiceMonitor) },
	"PrometheusRule": func() any { return new(monitoringv1.PrometheusRule) },
}

// validate returns an error for fields that the schema does not have, and for values that it does not allow.
func validate(v *validator.Validator, document string) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal([]byte(document), &kind); err == nil && kind.APIVersion == "monitoring.coreos.com/v1" && operatorTypes[kind.Kind] != nil {
		return yaml.UnmarshalStrict([]byte(document), operatorTypes[kind.Kind]())
	}
	_, object, err := v.Parse([]byte(document))
	if err != nil {
		return err
	}
	return v.Validate(object)
}

// sources returns the manifest files of a directory by name.
func sources(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range names {
		if base := filepath.Base(name); base != "kustomization.yaml" {
			files[base] = readFile(t, name)
		}
	}
	return files
}

// built returns the documents that kubectl apply -k would send for all kustomizations.
func built(t *testing.T) []string {
	t.Helper()
	var documents []string
	for _, dir := range kustomizations {
		documents = append(documents, build(t, dir)...)
	}
	return documents
}

// build returns the documents of one kustomization.
func build(t *testing.T, dir string) []string {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("kustomize build %s: %v", dir, err)
	}
	var documents []string
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, string(text))
	}
	return documents
}

// TestSchemas validates every document against its schema, as it is written and as kustomize sends it.
func TestSchemas(t *testing.T) {
	v := newValidator(t)
	for _, dir := range append([]string{filepath.Join(manifests, "valkey")}, kustomizations...) {
		for name, text := range sources(t, dir) {
			for document := range strings.SplitSeq(text, "\n---\n") {
				if err := validate(v, document); err != nil {
					t.Errorf("%s: %v\n%s", filepath.Join(dir, name), err, document)
				}
			}
		}
	}
	for _, document := range built(t) {
		if err := validate(v, document); err != nil {
			t.Errorf("kustomize's output: %v\n%s", err, document)
		}
	}
}

// TestBrokenManifests breaks the Deployment in every way that the schemas should notice.
func TestBrokenManifests(t *testing.T) {
	v := newValidator(t)
	good := sources(t, kustomizations[0])["deployment.yaml"]
	if err := validate(v, good); err != nil {
		t.Fatalf("the manifest is wrong before it is broken: %v", err)
	}
	tests := []struct{ name, old, broken string }{
		{"unknown field", "replicas: 3", "replicaz: 3"},
		{"unknown field far down", "readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true"},
		{"wrong type", "containerPort: 18000", "containerPort: eighteen"},
		{"no such value", "imagePullPolicy: IfNotPresent", "imagePullPolicy: [IfNotPresent]"},
		{"required field", "  selector:\n    matchLabels: {app.kubernetes.io/name: breakwater}\n", ""},
		{"duplicate key", "replicas: 3", "replicas: 3\n  replicas: 3"},
		{"no such kind", "kind: Deployment", "kind: Deploymint"},
		{"no such version", "apiVersion: apps/v1", "apiVersion: apps/v1beta9"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			document := strings.Replace(good, tt.old, tt.broken, 1)
			if document == good {
				t.Fatalf("deployment.yaml has no %q", tt.old)
			}
			if err := validate(v, document); err == nil {
				t.Error("the broken manifest was accepted")
			}
		})
	}
}

// TestBrokenMonitoring breaks the documents for the Prometheus operator in the same way.
func TestBrokenMonitoring(t *testing.T) {
	v := newValidator(t)
	monitor, rule, ok := strings.Cut(sources(t, kustomizations[0])["monitoring.yaml"], "\n---\n")
	if !ok {
		t.Fatal("monitoring.yaml is one document")
	}
	for name, tt := range map[string]struct{ good, old, broken string }{
		"unknown field":    {monitor, "interval: 15s", "intervall: 15s"},
		"wrong type":       {monitor, "port: http", "port: {name: http}"},
		"no such kind":     {monitor, "kind: ServiceMonitor", "kind: ServiceMonitors"},
		"unknown in rules": {rule, "for: 1m", "forr: 1m"},
		"rules of a type":  {rule, "  groups:", "  groups: none\n  others:"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := validate(v, tt.good); err != nil {
				t.Fatalf("the manifest is wrong before it is broken: %v", err)
			}
			document := strings.Replace(tt.good, tt.old, tt.broken, 1)
			if document == tt.good {
				t.Fatalf("the manifest has no %q", tt.old)
			}
			if err := validate(v, document); err == nil {
				t.Error("the broken manifest was accepted")
			}
		})
	}
}

// TestEveryFileIsListed finds files that no kustomization lists.
func TestEveryFileIsListed(t *testing.T) {
	for _, dir := range kustomizations {
		var k kustomize.Kustomization
		if err := yaml.UnmarshalStrict([]byte(readFile(t, filepath.Join(dir, "kustomization.yaml"))), &k); err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		listed := slices.Clone(k.Resources)
		for _, p := range k.Patches {
			listed = append(listed, p.Path)
		}
		for name := range sources(t, dir) {
			if !slices.Contains(listed, name) {
				t.Errorf("%s/kustomization.yaml does not list %s", dir, name)
			}
		}
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
