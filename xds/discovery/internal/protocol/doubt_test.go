package protocol

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"pgregory.net/rapid"

	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/message"
	"breakwater.dev/xds/internal/resource"
)

// table is a proxy that takes all virtual hosts of a response or none, as Envoy does.
type table struct {
	*Subscription
	hosts map[string]*xds.Resource // by name
	seq   uint64
	now   time.Time
	sent  int // responses
}

func newTable() *table {
	w := &table{Subscription: New(Delta, xds.VirtualHostType, &xds.Pool{}), hosts: map[string]*xds.Resource{}, now: time.Unix(1_000_000, 0)}
	w.Apply(Request{change: deltaChange{&message.DeltaRequest{Subscribe: []string{wire.RoutesName}}}})
	return w
}

// virtualHost returns a virtual host. The proxy refuses it in a version that begins with "bad".
func virtualHost(name, version string, hosts ...string) *xds.Resource {
	r := resource.New(wire.VirtualHost(name), version, &anypb.Any{TypeUrl: xds.VirtualHostType, Value: []byte(version)})
	r.Hosts = hosts
	return r
}

// takes applies a response, and reports whether the proxy takes it.
func (w *table) takes(r *message.Response) bool {
	next, owners := map[string]*xds.Resource{}, map[string]bool{}
	for name, had := range w.hosts {
		if !slices.Contains(r.Removed, name) {
			next[name] = had
		}
	}
	for _, vh := range r.Resources {
		next[vh.Name] = vh
	}
	for _, vh := range next {
		if strings.HasPrefix(vh.Version, "bad") {
			return false
		}
		for _, host := range vh.Hosts {
			if owners[host] {
				return false
			}
			owners[host] = true
		}
	}
	w.hosts = next
	return true
}

// settle answers responses until no more come without a pause.
func (w *table) settle(t rapid.TB, all *xds.List) {
	t.Helper()
	for {
		w.seq++
		r := w.Respond(w.seq, all, RemoveAll)
		if r == nil {
			return
		}
		if w.sent++; w.sent > 1_000 {
			t.Fatalf("no end: it is sent %q -%q", namesOf(r.Resources), r.Removed)
		}
		m := &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: r.Nonce}
		if !w.takes(r) {
			m.ErrorDetail = &rpcstatus.Status{Code: 13, Message: "no"}
		}
		request := deltaRequest(t, m)
		w.Answer(request, w.now)
		w.Apply(request)
	}
}

// tiedToBad returns the names of the bad virtual hosts, and of those that give hosts to them or get hosts from them, directly or
// not: a proxy cannot take some of these without the others.
func tiedToBad(all *xds.List, before map[string]*xds.Resource) map[string]bool {
	tied, hosts := map[string]bool{}, map[string]bool{}
	for more := true; more; {
		more = false
		for _, r := range slices.Concat(all.All(), slices.Collect(maps.Values(before))) {
			isTied := func(host string) bool { return hosts[host] }
			bad := strings.HasPrefix(r.Version, "bad") || tied[r.Name] || slices.ContainsFunc(r.Hosts, isTied)
			if !bad || tied[r.Name] && !slices.ContainsFunc(r.Hosts, func(host string) bool { return !hosts[host] }) {
				continue
			}
			tied[r.Name], more = true, true
			for _, host := range r.Hosts {
				hosts[host] = true
			}
		}
	}
	return tied
}

// TestABadVirtualHostKeepsNoOtherBack: whatever changes, the proxy ends up with all virtual hosts that it can have. A bad one
// comes when it is good.
func TestABadVirtualHostKeepsNoOtherBack(t *testing.T) {
	refused := 0
	rapid.Check(t, func(t *rapid.T) {
		w := newTable()
		draw := func(bad bool) *xds.List {
			names := rapid.Permutation([]string{"a", "b", "c", "d", "e", "f"}).Draw(t, "names")
			hosts := rapid.Permutation([]string{"1", "2", "3", "4", "5", "6", "7", "8"}).Draw(t, "hosts")
			var all []*xds.Resource
			for _, name := range names[:rapid.IntRange(1, 6).Draw(t, "upstreams")] {
				version := rapid.SampledFrom([]string{"1", "2", "bad"}).Draw(t, "version")
				if version == "bad" && !bad {
					version = "good"
				}
				n := min(rapid.IntRange(1, 2).Draw(t, "of them"), len(hosts)-1)
				all = append(all, virtualHost(name, fmt.Sprint(version, hosts[:n]), hosts[:n]...))
				hosts = hosts[n:]
			}
			return w.pool.List(all)
		}
		for range rapid.IntRange(1, 5).Draw(t, "policies") {
			w.settle(t, draw(rapid.Bool().Draw(t, "some bad")))
		}
		all, before := draw(true), maps.Clone(w.hosts)
		w.settle(t, all)
		tied := tiedToBad(all, before)
		for _, r := range all.All() {
			if had := w.hosts[r.Name]; !tied[r.Name] && (had == nil || had.Version != r.Version) {
				t.Fatalf("the proxy lacks %s %s", r.Name, r.Version)
			}
			if strings.HasPrefix(r.Version, "bad") && !w.Refuses(r.Name) {
				t.Fatalf("%s %s is not refused", r.Name, r.Version)
			}
		}
		if w.RefusesAny() && len(tied) < all.Len() {
			refused++
		}
		all = draw(false)
		w.settle(t, all)
		for w.RefusesAny() {
			w.now = w.Due()
			w.Retry(w.now)
			w.settle(t, all)
		}
		if got := w.pool.List(slices.Collect(maps.Values(w.hosts))); !got.Same(all) {
			t.Fatalf("in the end the proxy has %q, want %q", namesOf(got.All()), namesOf(all.All()))
		}
	})
	if refused == 0 {
		t.Error("nothing was refused")
	}
}

// TestTheBadOneIsFoundInHalves: the number of responses grows with the logarithm of the number of virtual hosts.
func TestTheBadOneIsFoundInHalves(t *testing.T) {
	w := newTable()
	var all []*xds.Resource
	for i := range 1_000 {
		version := "1"
		if i == 777 {
			version = "bad"
		}
		all = append(all, virtualHost(fmt.Sprintf("u%04d", i), version, fmt.Sprintf("u%04d", i)))
	}
	w.settle(t, w.pool.List(all))
	if len(w.hosts) != 999 || !w.Refuses(wire.VirtualHost("u0777")) || len(w.Refusals()) != 1 {
		t.Errorf("the proxy has %d virtual hosts, and refuses %v", len(w.hosts), w.Refusals())
	}
	if w.sent > 25 {
		t.Errorf("%d responses were sent, want at most 25", w.sent)
	}
}

// TestOtherProxiesGetASuspectApart: where one proxy has found out which virtual host is bad, the next one takes all others with its
// first response. It gets the bad one alone, and refuses it until it is corrected.
func TestOtherProxiesGetASuspectApart(t *testing.T) {
	all := list(virtualHost("a", "1", "1"), virtualHost("b", "bad", "2"), virtualHost("c", "1", "3"), virtualHost("d", "1", "4"))
	newTable().settle(t, all)
	w := newTable()
	w.seq++
	if r := w.Respond(w.seq, all, RemoveAll); len(r.Resources) != 3 || !w.takes(r) {
		t.Errorf("the first response has %q", namesOf(r.Resources))
	}
	w.Answer(deltaRequest(t, &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: fmt.Sprint(w.seq)}), w.now)
	w.settle(t, all)
	if got := w.Refusals(); len(got) != 1 || got[0].Name != wire.VirtualHost("b") || w.sent != 1 {
		t.Errorf("after %d more responses it refuses %v", w.sent, got)
	}
	w.settle(t, list(virtualHost("a", "1", "1"), virtualHost("b", "2", "2"), virtualHost("c", "1", "3"), virtualHost("d", "1", "4")))
	if len(w.hosts) != 4 || w.RefusesAny() || w.sent != 2 {
		t.Errorf("after %d more responses it has %d virtual hosts", w.sent, len(w.hosts))
	}
}

// TestASuspectThatGetsAHost of another virtual host comes with that one.
func TestASuspectThatGetsAHost(t *testing.T) {
	w, first := newTable(), list(virtualHost("a", "1", "1", "2"), virtualHost("b", "1", "3"))
	w.settle(t, first)
	next := list(virtualHost("a", "2", "1"), virtualHost("b", "2", "2", "3"), virtualHost("c", "1", "4"))
	next.Find(wire.VirtualHost("b")).Suspect()
	if w.settle(t, next); len(w.hosts) != 3 || w.RefusesAny() || w.sent != 3 {
		t.Errorf("after %d responses it has %d virtual hosts, and refuses %v", w.sent, len(w.hosts), w.Refusals())
	}
}

// stopper is a proxy that stops at the first resource of a response that it refuses, as Envoy does with endpoints: it takes
// some of the others, in no order.
type stopper struct {
	*Subscription
	taken map[string]string // the version of each resource, by name
	bad   map[string]bool
	seq   uint64
	sent  int // responses
}

func newStopper(typeURL string) *stopper {
	w := &stopper{Subscription: New(Delta, typeURL, &xds.Pool{}), taken: map[string]string{}, bad: map[string]bool{}}
	w.Apply(Request{change: deltaChange{&message.DeltaRequest{}}})
	return w
}

// settle answers responses until no more come without a pause.
func (w *stopper) settle(t *testing.T, all *xds.List, now time.Time) {
	t.Helper()
	for {
		w.seq++
		r := w.Respond(w.seq, all, RemoveAll)
		if r == nil {
			return
		}
		w.sent++
		m := &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: r.Nonce}
		for _, one := range r.Resources {
			if w.bad[one.Name] {
				m.ErrorDetail = &rpcstatus.Status{Code: 13, Message: "no"}
				break
			}
			w.taken[one.Name] = one.Version
		}
		request := deltaRequest(t, m)
		w.Answer(request, now)
		w.Apply(request)
	}
}

// TestABadResourceKeepsNoOtherBack, of any type: it alone is refused, and tried again. The others are sent a few times at most.
func TestABadResourceKeepsNoOtherBack(t *testing.T) {
	const n = 1_000
	for _, typeURL := range []string{xds.ClusterType, xds.EndpointType, xds.ListenerType, xds.SecretType} {
		w, now := newStopper(typeURL), time.Unix(1_000_000, 0)
		all := list(manyClusters(n)...)
		bad := []string{all.All()[0].Name, all.All()[777].Name}
		w.bad[bad[0]], w.bad[bad[1]] = true, true
		w.settle(t, all, now)
		if got := w.Refusals(); len(w.taken) != n-2 || len(got) != 2 || got[0].Name != bad[0] || got[1].Name != bad[1] {
			t.Errorf("%s: it has %d resources, and refuses %v", typeURL, len(w.taken), got)
		}
		if typeURL != xds.SecretType && w.sent > 50 {
			t.Errorf("%s: %d responses were sent, want at most 50", typeURL, w.sent)
		}
		w.sent, w.bad, now = 0, nil, now.Add(LastRetry)
		w.Retry(now)
		w.settle(t, all, now)
		if len(w.taken) != n || w.RefusesAny() || w.sent > 2 {
			t.Errorf("%s: in the end it has %d resources, and was sent %d responses", typeURL, len(w.taken), w.sent)
		}
	}
}

// TestAProxyThatRefusesAll: finding that out takes twice as many responses as there are resources. Each try again takes one, as far
// as they are due together.
func TestAProxyThatRefusesAll(t *testing.T) {
	const n = 200
	w, now := newStopper(xds.ClusterType), time.Unix(1_000_000, 0)
	all := list(manyClusters(n)...)
	for _, r := range all.All() {
		w.bad[r.Name] = true
	}
	w.settle(t, all, now)
	if len(w.Refusals()) != n || w.sent > 2*n {
		t.Errorf("%d resources are refused after %d responses", len(w.Refusals()), w.sent)
	}
	for range 5 {
		w.sent, now = 0, now.Add(2*LastRetry)
		w.Retry(now)
		if w.settle(t, all, now); w.sent != 1 || len(w.Refusals()) != n {
			t.Errorf("%d resources are refused, and were tried again in %d responses", len(w.Refusals()), w.sent)
		}
	}
}

// step answers the last response, with a message to refuse it, and returns the names in the next one.
func (w *stopper) step(t *testing.T, refusal string, all *xds.List, now time.Time) (names []string) {
	t.Helper()
	m := &discoveryv3.DeltaDiscoveryRequest{ResponseNonce: w.nonce}
	if refusal != "" {
		m.ErrorDetail = &rpcstatus.Status{Code: 13, Message: refusal}
	}
	request := deltaRequest(t, m)
	w.Answer(request, now)
	w.Apply(request)
	w.seq++
	r := w.Respond(w.seq, all, Removals{})
	if r == nil {
		return nil
	}
	return namesOf(r.Resources)
}

// TestDoubtsOutlastChanges: two of four clusters are good, but were refused together with bad ones. The proxy gets them although one
// changes, and one goes, before they are sent again, and both are as before afterwards.
func TestDoubtsOutlastChanges(t *testing.T) {
	w, now := newStopper(xds.ClusterType), time.Unix(1_000_000, 0)
	before := list(cluster("a", "1"), cluster("b", "1"), cluster("c", "1"), cluster("d", "1"))
	w.Respond(0, before, Removals{})
	if got := w.step(t, "no", list(cluster("a", "2"), cluster("c", "1"), cluster("d", "1")), now); !slices.Equal(got, []string{"c", "d"}) {
		t.Fatalf("got %v apart, want the ones that have not changed", got)
	}
	if got := w.step(t, "", before, now); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %v, want the ones that are as they were when the proxy refused them", got)
	}
	if got := w.step(t, "", before, now); got != nil || w.RefusesAny() {
		t.Errorf("got %v, want nothing more; refused: %v", got, w.Refusals())
	}
}

// TestDueMeanwhile: a refused cluster whose pause ends while a response is on its way is tried again after the answer, and once.
func TestDueMeanwhile(t *testing.T) {
	for _, tt := range []struct {
		name  string
		next  *xds.List  // follows the refusal of a
		steps [][]string // that each answer leads to: a refusal leads to the first, if the next list has another a
	}{
		{"another changes", list(cluster("a", "1"), cluster("b", "2")), [][]string{{"a"}, nil}},
		{"it changes", list(cluster("a", "2"), cluster("b", "2")), [][]string{{"a"}, {"b"}, nil}},
	} {
		w, now := newStopper(xds.ClusterType), time.Unix(1_000_000, 0)
		first := list(cluster("a", "1"), cluster("b", "1"))
		w.bad["a"] = true
		w.settle(t, first, now)
		if got := w.Refusals(); len(got) != 1 || got[0].Name != "a" {
			t.Fatalf("%s: got refusals %v, want one of a", tt.name, got)
		}
		w.seq++
		sent, refusal := namesOf(w.Respond(w.seq, tt.next, Removals{}).Resources), ""
		now = now.Add(LastRetry)
		if len(sent) > 1 {
			refusal = "no"
		} else {
			w.Retry(now)
		}
		for i, want := range tt.steps {
			if got := w.step(t, refusal, tt.next, now); !slices.Equal(got, want) {
				t.Errorf("%s: got %v after %d answers, want %v", tt.name, got, i+1, want)
			}
			refusal = ""
			w.Retry(now)
		}
		if w.RefusesAny() {
			t.Errorf("%s: refused: %v", tt.name, w.Refusals())
		}
	}
}
