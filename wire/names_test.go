package wire

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
)

// name draws the name of an upstream or a route, as policies have them. The words of this package are among them.
func name(t *rapid.T, label string) string {
	return rapid.OneOf(
		rapid.StringMatching(`[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?`),
		rapid.SampledFrom([]string{"log", "open", "closed", "egress", "breakwater", "tcp", "default", "max_connections"}),
	).Draw(t, label)
}

// key draws the key of a breaker, without a node.
func key(t *rapid.T) breaker.Key {
	k := breaker.Key{Upstream: name(t, "upstream")}
	if rapid.Bool().Draw(t, "has a route") {
		k.Route = name(t, "route")
	}
	return k
}

func kind(t *rapid.T) RouteKind {
	return RouteKind(rapid.IntRange(0, int(routeKinds)-1).Draw(t, "kind"))
}

// TestRouteNames: every name is read as it was printed, and no two are equal.
func TestRouteNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, of := key(t), kind(t)
		text := RouteName(breaker.Key{Upstream: k.Upstream, Route: k.Route, Node: rapid.SampledFrom([]string{"", "one~open"}).Draw(t, "node")}, of)
		if got, gotKind, ok := ParseRouteName(text); got != k || gotKind != of || !ok {
			t.Fatalf("%q was read as %q of kind %q, %t", text, got, gotKind, ok)
		}
		bytes, gotKind, ok := CutRouteName([]byte(text))
		if string(bytes) != k.String() || gotKind != of || !ok || text != k.String()+of.Suffix() {
			t.Fatalf("%q was cut into %q of kind %q, %t", text, bytes, gotKind, ok)
		}
		if other, more := key(t), kind(t); RouteName(other, more) == text && (other != k || more != of) {
			t.Fatalf("%q of kind %q and %q of kind %q are both %q", k, of, other, more, text)
		}
	})
	for _, bad := range []string{"web~", "web~opened", "web~open~", "~", "web~open~open"} {
		if _, _, ok := ParseRouteName(bad); ok {
			t.Errorf("%q was read", bad)
		}
	}
}

// TestKinds: every kind has a suffix of its own, and all but that of the whole route begin alike.
func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for k := range routeKinds {
		if seen[k.Suffix()] || (k.Suffix() == "") != (k == RouteWhole) || k.Suffix() != "" && k.Suffix() != separator+k.String() {
			t.Errorf("kind %d has the suffix %q and the name %q", k, k.Suffix(), k)
		}
		seen[k.Suffix()] = true
	}
}

// TestCutRouteNameAllocatesNothing: it is called for every entry of a log.
func TestCutRouteNameAllocatesNothing(t *testing.T) {
	text := []byte("payments/charge~sampled")
	if n := testing.AllocsPerRun(100, func() { _, _, _ = CutRouteName(text) }); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// TestRuntimeKeys: every key is read as it was printed, and by its own parser alone.
func TestRuntimeKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, of := key(t), RouteKind(rapid.IntRange(1, int(routeKinds)-1).Draw(t, "kind"))
		share, connections := ShareKey(k, of), ConnectionsKey(k.Upstream)
		if got, gotKind, ok := ParseShareKey(share); got != k || gotKind != of || !ok {
			t.Fatalf("%q was read as %q of kind %q, %t", share, got, gotKind, ok)
		}
		if got, ok := ParseConnectionsKey(connections); got != k.Upstream || !ok {
			t.Fatalf("%q was read as %q, %t", connections, got, ok)
		}
		if _, ok := ParseConnectionsKey(share); ok {
			t.Fatalf("the share %q was read as a number of connections", share)
		}
		if _, _, ok := ParseShareKey(connections); ok {
			t.Fatalf("the number of connections %q was read as a share", connections)
		}
		for _, log := range []RuntimeKey{LogStatus, LogSlow, LogGone, LogBelow, LogWaiting} {
			if _, _, ok := ParseShareKey(log); ok || log == share {
				t.Fatalf("%q of the log is a share, such as %q", log, share)
			}
		}
	})
	for _, bad := range []RuntimeKey{"", "breakwater", "breakwater.", "breakwater.web", "breakwater.web.", "breakwater.web.shut", "other.web.open"} {
		if _, _, ok := ParseShareKey(bad); ok {
			t.Errorf("%q was read as a share", bad)
		}
	}
}

// TestLogs: the name of a log tells the upstream, and other logs are not ours.
func TestLogs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		upstream := name(t, "upstream")
		if got, ok := ParseLog(ConnectionLog(upstream)); got != upstream || !ok {
			t.Fatalf("%q was read as %q, %t", ConnectionLog(upstream), got, ok)
		}
	})
	if upstream, ok := ParseLog(RequestLog); upstream != "" || !ok {
		t.Errorf("%q was read as %q, %t", RequestLog, upstream, ok)
	}
	for _, bad := range []string{"", "other", "other/web", "breakwaters"} {
		if _, ok := ParseLog(bad); ok {
			t.Errorf("%q was read", bad)
		}
	}
}

// TestReserved: names of a proxy's own are not names that an upstream's listener or cluster can have.
func TestReserved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		upstream := name(t, "upstream")
		if TCPListener(upstream) == EgressName || upstream == EgressCluster {
			t.Fatalf("%q takes a name of the proxy's own", upstream)
		}
	})
}

// TestValidNodeID: ids are printable, not empty and not too long.
func TestValidNodeID(t *testing.T) {
	for id, want := range map[string]bool{
		"x": true, "sidecar~10.0.0.7~shop": true, "söder 店": true, strings.Repeat("x", MaxNodeID): true,
		"": false, strings.Repeat("x", MaxNodeID+1): false, "a\x00": false, "a\nb": false, "\xff": false,
	} {
		if got := ValidNodeID(id); got != want {
			t.Errorf("%q: %t, want %t", id, got, want)
		}
	}
}

// TestSampling: 0 and 1 mean the same.
func TestSampling(t *testing.T) {
	for s, complete := range map[Sampling]bool{{}: true, {1, 1}: true, {1, 0}: true, {2, 1}: false, {0, 2}: false} {
		if all := s.All(); s.Complete() != complete || all.Complete() != complete || all.Passed == 0 || all.Rejected == 0 {
			t.Errorf("%+v is complete: %t, want %t; with 1 for 0 it is %+v", s, s.Complete(), complete, all)
		}
	}
}
