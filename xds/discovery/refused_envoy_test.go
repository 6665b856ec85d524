package discovery

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

// spoiled is a way to make one resource of an upstream one that Envoy refuses. No policy has such an upstream.
type spoiled struct {
	spoil            func(*policy.Upstream)
	typeURL, refused string
	message          string // a part of Envoy's
	stays            bool   // calls get what there was before
}

var spoils = map[string]spoiled{
	"virtual host": {typeURL: xds.VirtualHostType, refused: "routes/bad", stays: true,
		message: "response body size is 65537 bytes", spoil: func(u *policy.Upstream) {
			u.Routes[0].Breaker.Fallback.Response.Body = strings.Repeat("x", policy.MaxBody+1)
		}},
	"virtual host with the host of another": {typeURL: xds.VirtualHostType, refused: "routes/bad", stays: true,
		message: "Duplicate entry of domain good", spoil: func(u *policy.Upstream) { u.Hosts = append(u.Hosts, "good") }},
	"cluster": {typeURL: xds.ClusterType, refused: "bad", stays: true,
		message: "max_ejection_time cannot be smaller than base_ejection_time", spoil: func(u *policy.Upstream) {
			u.Outlier.MaxEjectionTime = u.Outlier.BaseEjectionTime / 2
		}},
	"endpoints": {typeURL: xds.EndpointType, refused: "bad", stays: true,
		message: "malformed IP address", spoil: func(u *policy.Upstream) { u.Endpoints[0].Address = netip.Addr{} }},
	"secret": {typeURL: xds.SecretType, refused: "ca:/nonexistent/ca.pem",
		message: "/nonexistent/ca.pem", spoil: func(u *policy.Upstream) { u.TLS = &policy.TLS{SNI: "bad", CAFile: "/nonexistent/ca.pem"} }},
}

// takesTime is a service that answers calls to the host "slow" after some time.
func takesTime(w http.ResponseWriter, r *http.Request) {
	if r.Host == "slow" {
		select {
		case <-time.After(500 * time.Millisecond):
		case <-r.Context().Done():
		}
	}
	fmt.Fprint(w, "here")
}

// refusing is a mesh in which the upstream "bad" is spoiled, and others come, go and change.
type refusing struct {
	*realProxy
	spoiled
	service string
}

// stage is a policy. Each has the upstreams "good" and "slow", and "bad" with another host, which is also its name.
type stage struct {
	bad     string // the host of the upstream bad, beside its name
	fresh   string // an upstream that no other stage has
	timeout string // the one of the upstream slow
	spoiled bool
}

func (r *refusing) publish(s stage) {
	r.t.Helper()
	var text strings.Builder
	host, port, _ := strings.Cut(r.service, ":")
	for name, more := range map[string]string{"bad": "10s", "good": "10s", "slow": s.timeout, s.fresh: "10s", "one": "10s", "two": "10s", "zed": "10s"} {
		hosts := name
		if name == "bad" {
			hosts += ", " + s.bad
		}
		fmt.Fprintf(&text, "---\napiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: %[1]s}\n"+
			"spec: {hosts: [%[2]s], endpoints: [{address: %[3]s, port: %[4]s}]}\n---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\n"+
			"metadata: {name: %[1]s}\nspec: {targetRefs: [{kind: Upstream, name: %[1]s}], timeout: %[5]s, outlierDetection: {alwaysEjectOneEndpoint: true}}\n", name, hosts, host, port, more)
	}
	set, diagnostics := policy.Parse([]policy.File{{Name: "p.yaml", Data: []byte(text.String())}}, policy.BuiltinDefaults())
	for _, d := range diagnostics {
		r.t.Fatalf("the policy of a test: %s", d)
	}
	if s.spoiled {
		r.spoil(xds.Find(set, "bad"))
	}
	publishSet(r.t, r.server, set)
}

// follows waits until calls to all upstreams but "bad" get what a stage says. The upstream of the stage before is gone.
func (r *refusing) follows(s stage, gone string) {
	r.t.Helper()
	slow := "200 here"
	if s.timeout == "100ms" {
		slow = "504"
	}
	got := map[string]string{}
	r.await("all others are served", func() bool {
		for host, want := range map[string]string{"good": "200 here", "one": "200 here", "two": "200 here", "zed": "200 here", s.fresh: "200 here", gone: "404", "slow": slow} {
			if got[host] = r.call(host); host != "" && !strings.HasPrefix(got[host], want) {
				return false
			}
		}
		return true
	})
}

// refuses waits until the status has one refusal, of the spoiled resource, with Envoy's message.
func (r *refusing) refuses() {
	r.t.Helper()
	var got []string
	r.await("only the bad one is refused", func() bool {
		got = nil
		for _, typ := range r.server.Status()[0].Types {
			if typ.NACK != nil && strings.Contains(typ.NACK.Message, r.message) {
				got = append(got, typ.Type+" "+strings.Join(typ.NACK.Resources, " "))
			} else if typ.NACK != nil {
				r.t.Fatalf("%s are refused: %+v", typ.Type, *typ.NACK)
			}
		}
		return slices.Equal(got, []string{r.typeURL + " " + r.refused})
	})
}

// TestARefusedResourceKeepsNothingElseBack: others come, go and change while one resource is refused, from the start of the proxy or
// later. The status names that one. The version before stays in use, and the corrected one is taken at once.
func TestARefusedResourceKeepsNothingElseBack(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(takesTime))
	defer web.Close()
	first := stage{bad: "bad-1", fresh: "alpha", timeout: "10s"}
	second := stage{bad: "bad-2", fresh: "beta", timeout: "100ms", spoiled: true}
	third := stage{bad: "bad-2", fresh: "omega", timeout: "10s", spoiled: true}
	corrected := stage{bad: "bad-3", fresh: "omega", timeout: "100ms"}
	ports := uint16(20_400)
	for kind, s := range spoils {
		for _, later := range []bool{false, true} {
			ports += 10
			t.Run(fmt.Sprintf("%s, later=%t", kind, later), func(t *testing.T) {
				r := &refusing{realProxy: newProxy(t), spoiled: s, service: strings.TrimPrefix(web.URL, "http://")}
				if !later && strings.HasSuffix(kind, "another") {
					return // neither was there first
				}
				before := ""
				if later {
					r.publish(first)
					before = first.fresh
				} else {
					r.publish(second)
				}
				r.run(asPrinted, ports)
				if later {
					r.follows(first, "beta")
					defer r.load("good")()
					r.publish(second)
				}
				r.follows(second, before)
				r.refuses()
				if got := r.call("bad"); (got == "200 here") != (later && s.stays) {
					t.Errorf("a call to what is refused got %q", got)
				}
				r.publish(third)
				r.follows(third, "beta")
				r.refuses()
				nacks := r.server.Counts()[r.typeURL].NACKs
				r.publish(corrected)
				r.await("the corrected one is there", func() bool { return r.call("bad-3") == "200 here" && r.call("bad") == "200 here" })
				r.follows(corrected, "beta")
				if now := r.server.Counts()[r.typeURL].NACKs; now > nacks+1 { // one try may have been on its way
					t.Errorf("%d responses were refused after the correction", now-nacks)
				}
				same(t, refusedTypes(r.server), nil)
			})
		}
	}
}

// load makes calls to a host until the function that it returns is called, which fails the test if a call has failed.
func (p *realProxy) load(host string) (end func()) {
	stop, ended := make(chan struct{}), make(chan []string)
	go func() {
		var failed []string
		for {
			select {
			case <-stop:
				ended <- failed
				return
			default:
			}
			if got := p.call(host); got != "200 here" {
				failed = append(failed, got)
			}
		}
	}()
	return func() {
		close(stop)
		if failed := <-ended; len(failed) > 0 {
			p.t.Errorf("%d calls failed, the first with %q", len(failed), failed[0])
		}
	}
}
