package guard

import (
	"strings"
	"testing"
)

func rulesOf(t *testing.T, texts ...string) *Rules {
	t.Helper()
	r, err := ParseRules(texts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestWrongRules(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "is neither a URI",
		"shop":                             "is neither a URI",
		"{node}":                           "is neither a URI",
		"{any}://x/{node}":                 "is neither a URI",
		"spiffe://":                        "is neither a URI",
		"dns:":                             "names no DNS name",
		"dns:*.{node}.svc":                 "names no DNS name",
		"dns:spiffe://a/{node}":            "names no DNS name",
		"spiffe://a/{pod}":                 "has the placeholder {pod}; must be {workload}, {node} or {any}",
		"spiffe://a/{}":                    "has the placeholder {}",
		"spiffe://a/{node}/{node}":         "has {node} twice",
		"spiffe://a/{workload}{node}":      "nothing between them",
		"spiffe://a/{node}/{any":           "a brace that is not closed",
		"spiffe://a/{node}/any}":           "a brace that is not closed",
		"spiffe://{any}/ns/{any}/sa/{any}": "neither {workload} nor {node}",
		"dns:proxies.example.com":          "neither {workload} nor {node}",
	} {
		_, err := ParseRules([]string{"dns:{node}.ok", text})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; must say %q", text, err, want)
		}
	}
	_, err := ParseRules([]string{"a", "dns:{node}.x", "b", "dns:{node}.x"})
	for _, want := range []string{`"a"`, `"b"`, `"dns:{node}.x" is given twice`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; must name %s", err, want)
		}
	}
	if r, err := ParseRules(nil); r != nil || err != nil {
		t.Errorf("without rules: %v, %v; want nil, nil", r, err)
	}
}

func TestClaims(t *testing.T) {
	for _, tt := range []struct {
		rule, name  string
		id, cluster string
		want        bool
	}{
		{"spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns/shop/sa/pay", "pay-0", "pay", true},
		{"spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns/shop/sa/pay", "pay", "pay", true},
		{"spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns/shop/sa/pay", "pay-7d9f8b6c5d-x2x4k", "pay", true},
		{"spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns/shop/sa/pay", "pay-x2x4k", "pay", true},
		{"spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns/shop/sa/pay", "pay-29301120-x2x4k", "pay", true},
		{"spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns/shop/sa/pay", "pay-backend-0", "pay", false},
		{"spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns/shop/sa/pay", "pay-backend", "pay", false},
		{"spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns/shop/sa/pay", "pay-", "pay", false},
		{"spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns/shop/sa/pay", "payments", "pay", false},
		{"spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns/shop/sa/pay", "pay-0", "shop", false},
		{"spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns/shop/sa/pay", "pay-0", "", false},
		{"spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns/shop/sa/pay/x", "pay-0", "pay", false},
		{"spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns/a/b/sa/pay", "pay-0", "pay", false},
		{"spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns//sa/pay", "pay-0", "pay", false},
		{"spiffe://c/ns/shop/sa/{workload}", "spiffe://c/ns/evil/sa/pay", "pay-0", "pay", false},
		{"spiffe://a.b/{node}", "spiffe://axb/n", "n", "", false}, // the dot matches only a dot
		{"spiffe://a.b/{node}", "spiffe://a.b/n", "n", "whatever", true},
		{"spiffe://a.b/{node}", "spiffe://a.b/n", "n-0", "whatever", false},
		{"dns:{workload}.{any}.svc", "Pay.Shop.SVC", "pay-0", "pay", true},
		{"dns:{workload}.{any}.svc", "pay.shop.svc.evil", "pay-0", "pay", false},
		{"dns:{workload}.{any}.svc", "x.pay.shop.svc", "pay-0", "pay", false},
		{"dns:{workload}.{any}.svc", "*.shop.svc", "*-0", "*", false},
		{"dns:{node}.{workload}.mesh", "n1.pay.mesh", "n1", "pay", false}, // node and workload must both match
		{"dns:{node}.{workload}.mesh", "pay-1.pay.mesh", "pay-1", "pay", true},
		{"dns:{node}.{workload}.mesh", "pay-1.pay.mesh", "pay-2", "pay", false},
		{"spiffe://c/{workload}", "pay", "pay-0", "pay", false},
	} {
		uris, dns := []string{tt.name}, []string(nil)
		if strings.HasPrefix(tt.rule, dnsPrefix) {
			uris, dns = nil, uris
		}
		got := false
		for _, c := range rulesOf(t, tt.rule).claims(uris, dns) {
			got = got || c.allows(tt.id, tt.cluster)
		}
		if got != tt.want {
			t.Errorf("rule %s, certificate of %s, node %q of %q: allowed %v, want %v", tt.rule, tt.name, tt.id, tt.cluster, got, tt.want)
		}
	}
}

// generated returns a name that Kubernetes could generate from base (k8s.io/apiserver/pkg/storage/names).
func generated(base string) string { return base[:min(len(base), 58)] + "x2x4k" }

// TestPodsWithLongNames has names of pods that Kubernetes cuts before their last five letters.
func TestPodsWithLongNames(t *testing.T) {
	name := func(length int) string { return strings.Repeat("payments-", 8)[:length-1] + "s" }
	for _, length := range []int{45, 46, 47, 50, 56, 57, 58, 60, 63} {
		w := name(length)
		for what, id := range map[string]string{
			"a Deployment": generated(w + "-7d9f8b6c5d-"), "with a short hash": generated(w + "-7d9f8b6c-"),
			"a DaemonSet or a Job": generated(w + "-"), "a CronJob": generated(w + "-29301120-"), "a StatefulSet": w + "-0",
		} {
			if !isPodOf(id, w) {
				t.Errorf("a workload of %d bytes, %s: %q is not recognised as its pod", length, what, id)
			}
		}
		for what, id := range map[string]string{
			"another workload":               w + "-backend",
			"a pod of another workload":      generated(w[:40] + "-7d9f8b6c5d-"),
			"a cut name of another workload": generated(w[:length-9] + "x-7d9f8b6c5d-aaaaaaaa-"),
			"letters that are never used":    generated(w + "-7d9f8b6c5d-")[:min(length+12, 58)] + "aeiou",
		} {
			if isPodOf(id, w) {
				t.Errorf("a workload of %d bytes, %s: %q is taken for its pod", length, what, id)
			}
		}
	}
	if w := name(47); isPodOf(w+"-backend-00"+"x2x4k", w) {
		t.Error("a cut name of another workload with the same beginning is taken for a pod")
	}
}

// FuzzRules checks that any text compiles as a rule or gives an error, and that a placeholder matches one segment.
func FuzzRules(f *testing.F) {
	f.Add("spiffe://{any}/ns/{any}/sa/{workload}", "spiffe://c/ns/shop/sa/pay")
	f.Add("dns:{node}.[a-z]+.svc", "n.[a-z]+.svc")
	f.Fuzz(func(t *testing.T, text, name string) {
		r, err := ParseRules([]string{text})
		if err != nil {
			return
		}
		for _, c := range r.claims([]string{name}, []string{name}) {
			if strings.ContainsAny(c.workload+c.node, "/") && !strings.HasPrefix(text, dnsPrefix) {
				t.Errorf("rule %q finds in %q workload %q and node %q, want one segment each", text, name, c.workload, c.node)
			}
		}
	})
}
