package fleet

import (
	"strings"
	"testing"
	"time"

	"breakwater.dev/bench/fleet/internal/expect"
	"breakwater.dev/bench/fleet/internal/mesh"
	"breakwater.dev/bench/fleet/internal/xdswire"
)

// served starts a proxy with two upstreams, a and b, and returns when it has everything.
func served(t *testing.T, change func(*Options)) (*scripted, *Fleet) {
	t.Helper()
	var s scripted
	address := s.listen(t)
	s.add(runtimeLayer(t, "one", "1", time.Hour, "breakwater.a.open"))
	s.add(runtimeLayer(t, "two", "1", 0))
	s.add(cluster(t, "a", "1", time.Second), cluster(t, "b", "1", time.Second))
	s.add(endpoints(t, "a", "1", 1), endpoints(t, "b", "1", 1))
	s.add(listener(t))
	s.add(routes(t))
	s.add(virtualHost(t, "a", "1"), virtualHost(t, "b", "1"))
	f := startFleet(t, address, bootstrapOf(t, address, true, "one", "two"), change)
	await(t, "the proxy has asked for everything", s.askedFor(1))
	await(t, "all is answered", s.settled)
	return &s, f
}

// reached reports whether an expectation is fulfilled.
func reached(e *expect.Change) func() bool {
	return func() bool {
		select {
		case <-e.Done():
			return true
		default:
			return false
		}
	}
}

// TestNoticesChanges: a proxy has a change when it has received the bytes of it, and not before.
func TestNoticesChanges(t *testing.T) {
	s, f := served(t, nil)
	for _, tt := range []struct {
		name   string
		expect *expect.Change
		other  func() string // a change that does not fulfil it
		change func() string
	}{
		{
			"an endpoint", &expect.Change{Parts: []expect.Part{expect.Has(xdswire.Endpoint, "a", mesh.PortMark(9001))}},
			func() string { return s.put(endpoints(t, "b", "2", 9001)) },
			func() string { return s.put(endpoints(t, "a", "2", 9001)) },
		},
		{
			"a virtual host", &expect.Change{Parts: []expect.Part{expect.Has(xdswire.VirtualHost, "c", []byte("egress/c"))}},
			func() string { return s.put(virtualHost(t, "d", "1")) },
			func() string { return s.put(virtualHost(t, "c", "1")) },
		},
		{
			"two parts", &expect.Change{Parts: []expect.Part{expect.Has(xdswire.Endpoint, "a", mesh.PortMark(9003)), expect.Either(expect.Gone(xdswire.Route, "x"), expect.Gone(xdswire.VirtualHost, "c"))}},
			func() string { return s.put(endpoints(t, "a", "3", 9003)) },
			func() string { return s.remove(xdswire.VirtualHost, "egress/c") },
		},
		{
			"routes without a host", &expect.Change{Parts: []expect.Part{expect.Lacks(xdswire.VirtualHost, "", []byte("egress/a"))}},
			func() string { return s.put(virtualHost(t, "a", "3")) },
			func() string { return s.put(virtualHost(t, "b", "3")) },
		},
		{
			"a key of a layer", &expect.Change{Keys: []string{"breakwater.a.open", "breakwater.b.open"}},
			func() string { return s.put(runtimeLayer(t, "two", "2", 0, "breakwater.c.open")) },
			func() string { return s.put(runtimeLayer(t, "two", "3", 0, "breakwater.b.open")) },
		},
		{
			"a key that goes", &expect.Change{Keys: []string{"breakwater.b.open"}, Absent: true},
			func() string { return s.put(runtimeLayer(t, "one", "2", time.Hour)) },
			func() string { return s.put(runtimeLayer(t, "two", "4", 0)) },
		},
		{
			"a cluster that goes", &expect.Change{Parts: []expect.Part{expect.Gone(xdswire.Cluster, "b")}},
			func() string { return s.remove(xdswire.Listener, "b") },
			func() string { return s.remove(xdswire.Cluster, "b") },
		},
	} {
		f.Expect(tt.expect)
		await(t, tt.name+": another change is answered", s.has(tt.other()))
		if got := tt.expect.Remaining(); got != 1 {
			t.Fatalf("%s: %d proxies lack it after another change, want 1", tt.name, got)
		}
		before := time.Now()
		tt.change()
		await(t, tt.name, reached(tt.expect))
		if tt.expect.Last().Before(before) {
			t.Errorf("%s: the proxy had it before it was sent", tt.name)
		}
	}
	if c := f.Counts(); c.Again+c.Refused+c.Lost != 0 {
		t.Errorf("counts %+v, want nothing sent again, refused or lost", c)
	}
}

// TestWhole: a proxy is in sync when it has clusters, endpoints, routes and layers.
func TestWhole(t *testing.T) {
	s, f := served(t, nil)
	e := &expect.Change{Whole: func(int) int { return 3 }}
	f.Expect(e)
	s.add(endpoints(t, "c", "1", 1))
	await(t, "the cluster is answered", s.has(s.put(cluster(t, "c", "1", time.Second))))
	if e.Remaining() != 1 {
		t.Error("the proxy is in sync without the virtual host")
	}
	s.put(virtualHost(t, "c", "1"))
	await(t, "the proxy is in sync", reached(e))
}

// TestConcernsSomeProxies: the others need nothing.
func TestConcernsSomeProxies(t *testing.T) {
	_, f := served(t, nil)
	e := &expect.Change{Parts: []expect.Part{expect.Has(xdswire.Endpoint, "a", nil)}, Wants: func(int) (bool, []string) { return false, nil }}
	f.Expect(e)
	if !reached(e)() {
		t.Error("an expectation that concerns no proxy is not fulfilled")
	}
}

// TestComesBackWithWhatItHas: after its streams were cut, a proxy receives nothing that it has, and goes on from there.
func TestComesBackWithWhatItHas(t *testing.T) {
	s, f := served(t, nil)
	before := f.Counts()
	s.add(endpoints(t, "b", "2", 2))
	s.cutAll()
	await(t, "the proxy is back", s.askedFor(1))
	await(t, "all is answered", s.settled)
	got := f.Counts().Sub(before)
	if got.Resources != 1 || got.Responses != 1 || got.Again != 0 || got.Ended != 1 {
		t.Errorf("counts %+v, want one resource, which has changed meanwhile", got)
	}
	if open, want := f.Streams(); open != 1 || want != 1 {
		t.Errorf("%d of %d streams are open, want 1 of 1", open, want)
	}
}

// TestCountsResourcesThatAreSentAgain, but not endpoints that a changed cluster waits for, and not heartbeats.
func TestCountsResourcesThatAreSentAgain(t *testing.T) {
	s, f := served(t, nil)
	s.put(cluster(t, "a", "2", 2*time.Second))
	await(t, "endpoints of a changed cluster", s.has(s.again(xdswire.Endpoint, endpoints(t, "a", "1", 1))))
	await(t, "a heartbeat", s.has(s.again(xdswire.Runtime, runtimeLayer(t, "one", "1", time.Hour, "breakwater.a.open"))))
	if c := f.Counts(); c.Again != 0 || c.Heartbeats != 1 {
		t.Errorf("counts %+v, want one heartbeat and nothing sent again", c)
	}
	for i, nonce := range []string{
		s.again(xdswire.Endpoint, endpoints(t, "a", "1", 1)), s.again(xdswire.Cluster, cluster(t, "a", "2", 2*time.Second)),
		s.again(xdswire.VirtualHost, virtualHost(t, "a", "1")), s.again(xdswire.Listener, listener(t)),
		s.again(xdswire.Runtime, runtimeLayer(t, "two", "1", 0)),
	} {
		await(t, "a resource again", s.has(nonce))
		if c := f.Counts(); c.Again < int64(i+1) {
			t.Errorf("%s: %d resources are counted as sent again, want %d", nonce, c.Again, i+1)
		}
	}
	if got, want := f.Example(), "Runtime two, sent again to proxy-00000"; got != want {
		t.Errorf("the example is %q, want %q", got, want)
	}
	if c := f.Counts(); c.Again != 5 || c.Heartbeats != 1 {
		t.Errorf("counts %+v, want 5 resources sent again and one heartbeat", c)
	}
}

// TestLosesLayersThatAreNotRenewed, and does not say that it has them when it comes back.
func TestLosesLayersThatAreNotRenewed(t *testing.T) {
	s, f := served(t, nil)
	await(t, "the layer is answered", s.has(s.put(runtimeLayer(t, "one", "2", 10*time.Millisecond, "breakwater.a.open"))))
	await(t, "the layer is lost", func() bool { return f.Counts().Lost == 1 })
	e := &expect.Change{Keys: []string{"breakwater.a.open"}, Absent: true}
	f.Expect(e)
	s.put(runtimeLayer(t, "two", "2", 0))
	await(t, "the key is gone", reached(e))
	s.log()
	s.cutAll()
	await(t, "the proxy is back", s.askedFor(1))
	if got := s.log()[0]; got != "ADS Runtime node proxy-00000 first subscribe one,two has two=2" {
		t.Errorf("the proxy came back with %q", got)
	}
}

// TestRenewal: a heartbeat puts off the end of a layer, with the layer or without it.
func TestRenewal(t *testing.T) {
	at := time.Unix(1_000, 0)
	c := &contents{all: map[uint64]content{}, seed: bodySeed}
	l := &layer{version: awaited}
	body := runtimeLayer(t, "one", "1", 0, "k").GetResource().GetValue()
	take := func(r xdswire.Resource, version uint32) (bool, string) { return l.take(&r, version, c, at) }
	if renews, wrong := take(xdswire.Resource{Body: body, TTL: time.Minute}, 5); renews || wrong != "" || !l.content["k"] || l.expires != at.Add(time.Minute) {
		t.Errorf("the first response renews: %t, wrong: %q, layer %+v", renews, wrong, l)
	}
	for _, body := range [][]byte{nil, body} {
		at = at.Add(time.Second)
		if renews, wrong := take(xdswire.Resource{Body: body, TTL: time.Minute}, 5); !renews || wrong != "" || !l.content["k"] || l.expires != at.Add(time.Minute) {
			t.Errorf("a heartbeat renews: %t, wrong: %q, layer %+v", renews, wrong, l)
		}
	}
	if renews, wrong := take(xdswire.Resource{TTL: time.Minute}, 6); renews || wrong == "" || l.version != 5 {
		t.Errorf("a version that the proxy does not have is renewed: %t, wrong: %q, layer %+v", renews, wrong, l)
	}
	if renews, _ := take(xdswire.Resource{Body: body}, 5); renews || !l.expires.IsZero() {
		t.Errorf("a response without a TTL renews: %t, layer %+v", renews, l)
	}
}

// TestRefuses: a proxy refuses each response with a certain cluster, applies the others, and does not forget to answer.
func TestRefuses(t *testing.T) {
	s, f := served(t, func(o *Options) {
		o.Variant = func(int) Variant { return Variant{Refuse: "b"} }
	})
	if c := f.Counts(); c.Refused != 1 {
		t.Errorf("counts %+v, want one refusal", c)
	}
	e := &expect.Change{Whole: func(int) int { return 1 }}
	f.Expect(e)
	s.log()
	await(t, "a second time", s.has(s.again(xdswire.Cluster, cluster(t, "b", "1", time.Second))))
	if got := s.log(); len(got) != 1 || got[0] != "ADS Cluster answers Cluster 2 refuses" {
		t.Errorf("the proxy answered %q", got)
	}
	await(t, "another one is taken", s.has(s.put(endpoints(t, "a", "2", 2))))
	if c := f.Counts(); c.Refused != 2 || !reached(e)() {
		t.Errorf("counts %+v, want two refusals; the proxy is in sync: %t", c, reached(e)())
	}
}

// TestResponsesThatEndTheStream: no control plane may send them.
func TestResponsesThatEndTheStream(t *testing.T) {
	s, f := served(t, nil)
	s.mu.Lock()
	for stream := range s.streams {
		s.respond(stream, xdswire.Secret, nil, []string{"x"})
		s.pending-- // it gets no answer
	}
	s.mu.Unlock()
	await(t, "the stream has ended", func() bool { return f.Counts().Ended == 1 })
	await(t, "the reason is known", func() bool { return f.Problem() != "" })
	if got := f.Problem(); !strings.Contains(got, "which the proxy has not asked for") {
		t.Errorf("the problem is %q", got)
	}
}
