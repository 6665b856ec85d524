package deploytest

import (
	"maps"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// objects has all documents of the manifests, by kind and "namespace/name".
type objects struct {
	deployments map[string]*appsv1.Deployment
	stateful    map[string]*appsv1.StatefulSet
	configMaps  map[string]*corev1.ConfigMap
	services    map[string]*corev1.Service
	accounts    map[string]*corev1.ServiceAccount
	namespaces  map[string]*corev1.Namespace
	autoscalers map[string]*autoscalingv2.HorizontalPodAutoscaler
	disruptions map[string]*policyv1.PodDisruptionBudget
	networks    map[string]*networkingv1.NetworkPolicy
	monitors    map[string]*monitoringv1.ServiceMonitor
	rules       map[string]*monitoringv1.PrometheusRule
}

// loadObjects returns the objects of all kustomizations.
func loadObjects(t *testing.T) *objects {
	t.Helper()
	return objectsIn(t, built(t))
}

func objectsIn(t *testing.T, documents []string) *objects {
	t.Helper()
	o := &objects{
		deployments: map[string]*appsv1.Deployment{},
		stateful:    map[string]*appsv1.StatefulSet{},
		configMaps:  map[string]*corev1.ConfigMap{},
		services:    map[string]*corev1.Service{},
		accounts:    map[string]*corev1.ServiceAccount{},
		namespaces:  map[string]*corev1.Namespace{},
		autoscalers: map[string]*autoscalingv2.HorizontalPodAutoscaler{},
		disruptions: map[string]*policyv1.PodDisruptionBudget{},
		networks:    map[string]*networkingv1.NetworkPolicy{},
		monitors:    map[string]*monitoringv1.ServiceMonitor{},
		rules:       map[string]*monitoringv1.PrometheusRule{},
	}
	for _, document := range documents {
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
			t.Fatal(err)
		}
		switch kind.Kind {
		case "Deployment":
			decode(t, document, o.deployments)
		case "StatefulSet":
			decode(t, document, o.stateful)
		case "ConfigMap":
			decode(t, document, o.configMaps)
		case "Service":
			decode(t, document, o.services)
		case "ServiceAccount":
			decode(t, document, o.accounts)
		case "Namespace":
			decode(t, document, o.namespaces)
		case "HorizontalPodAutoscaler":
			decode(t, document, o.autoscalers)
		case "PodDisruptionBudget":
			decode(t, document, o.disruptions)
		case "NetworkPolicy":
			decode(t, document, o.networks)
		case "ServiceMonitor":
			decode(t, document, o.monitors)
		case "PrometheusRule":
			decode(t, document, o.rules)
		default:
			t.Fatalf("loadObjects does not know the kind %s yet", kind.Kind)
		}
	}
	return o
}

// decode adds a document to the objects of its kind.
func decode[T any, P interface {
	*T
	metav1.Object
}](t *testing.T, document string, into map[string]P) {
	t.Helper()
	object := P(new(T))
	if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	into[object.GetNamespace()+"/"+object.GetName()] = object
}

// get returns an object by its name, and fails the test if it is missing.
func get[P any](t *testing.T, from map[string]P, name string) P {
	t.Helper()
	object, ok := from[name]
	if !ok {
		t.Fatalf("no %s among %v", name, slices.Sorted(maps.Keys(from)))
	}
	return object
}

// workload is a Deployment or a StatefulSet.
type workload struct {
	metav1.ObjectMeta
	selector *metav1.LabelSelector
	pod      corev1.PodTemplateSpec
}

// workloads returns all workloads by kind and name.
func (o *objects) workloads() map[string]workload {
	all := map[string]workload{}
	for name, d := range o.deployments {
		all["Deployment "+name] = workload{d.ObjectMeta, d.Spec.Selector, d.Spec.Template}
	}
	for name, s := range o.stateful {
		all["StatefulSet "+name] = workload{s.ObjectMeta, s.Spec.Selector, s.Spec.Template}
	}
	return all
}

// TestReferences checks that the objects exist that the manifests refer to by name.
func TestReferences(t *testing.T) {
	o := loadObjects(t)
	for name, d := range o.workloads() {
		pod := d.pod
		if _, ok := o.namespaces["/"+d.Namespace]; !ok {
			t.Errorf("%s: no manifest makes its namespace", name)
		}
		if !selects(d.selector.MatchLabels, pod.Labels) {
			t.Errorf("%s does not select its own pods", name)
		}
		if a := pod.Spec.ServiceAccountName; a != "" && o.accounts[d.Namespace+"/"+a] == nil {
			t.Errorf("%s: no service account %s", name, a)
		}
		for _, v := range pod.Spec.Volumes {
			if v.ConfigMap != nil && o.configMaps[d.Namespace+"/"+v.ConfigMap.Name] == nil {
				t.Errorf("%s: no ConfigMap %s", name, v.ConfigMap.Name)
			}
		}
	}
	for name, s := range o.services {
		var containers []corev1.Container
		for _, d := range o.workloads() {
			if d.Namespace == s.Namespace && selects(s.Spec.Selector, d.pod.Labels) {
				containers = append(containers, d.pod.Spec.Containers...)
			}
		}
		for _, p := range s.Spec.Ports {
			if !slices.ContainsFunc(containers, func(c corev1.Container) bool { return portOf(c, p.TargetPort.StrVal) == p.Port }) {
				t.Errorf("service %s: no container has port %s = %d", name, p.TargetPort.StrVal, p.Port)
			}
		}
	}
}

func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

// portOf returns a container's port by name, or 0.
func portOf(c corev1.Container, name string) int32 {
	for _, p := range c.Ports {
		if p.Name == name {
			return p.ContainerPort
		}
	}
	return 0
}

// TestContainersAreConfined checks that every container fits the restricted profile of
// Kubernetes' pod security standards, and has a read-only file system and bounded memory.
func TestContainersAreConfined(t *testing.T) {
	for name, d := range loadObjects(t).workloads() {
		pod := d.pod.Spec
		if s := pod.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot ||
			s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: the pod may run as root or without a seccomp profile", name)
		}
		if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
			t.Errorf("%s: the pod gets a token that it does not need", name)
		}
		for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
			s := c.SecurityContext
			if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
				s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
				s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
				t.Errorf("%s: container %s is not confined", name, c.Name)
			}
			if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
				t.Errorf("%s: container %s has no requests of CPU and memory, or no memory limit", name, c.Name)
			}
		}
	}
}

// TestMemoryLimit checks that the limit of Go's garbage collector is below the container's.
func TestMemoryLimit(t *testing.T) {
	c := controlPlane(t, loadObjects(t))
	at := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == "GOMEMLIMIT" })
	if at < 0 {
		t.Fatal("GOMEMLIMIT is not set")
	}
	soft := resource.MustParse(strings.TrimSuffix(c.Env[at].Value, "B"))
	if hard := c.Resources.Limits.Memory(); soft.Cmp(*hard) >= 0 {
		t.Errorf("GOMEMLIMIT %s is not below the limit %s", &soft, hard)
	}
}

// controlPlane returns the container of the control plane.
func controlPlane(t *testing.T, o *objects) corev1.Container {
	t.Helper()
	return get(t, o.deployments, "breakwater/breakwater").Spec.Template.Spec.Containers[0]
}
