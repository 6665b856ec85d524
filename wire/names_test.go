package wire

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"breakwater.dev/breaker"
)

// name draws a valid name of an upstream or a route. The words that this package uses itself are among them.
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

// TestRouteNames shows that every name is read as it was printed, and that no two names are equal.
func TestRouteNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wantKey, wantKind := key(t), kind(t)
		withNode := breaker.Key{Upstream: wantKey.Upstream, Route: wantKey.Route, Node: rapid.SampledFrom([]string{"", "one~open"}).Draw(t, "node")}
		text := RouteName(withNode, wantKind)
		if got, gotKind, ok := ParseRouteName(text); got != wantKey || gotKind != wantKind || !ok {
			t.Fatalf("%q was read as %q of kind %q, %t", text, got, gotKind, ok)
		}
		bytes, gotKind, ok := CutRouteName([]byte(text))
		if string(bytes) != wantKey.String() || gotKind != wantKind || !ok || text != wantKey.String()+wantKind.Suffix() {
			t.Fatalf("%q was cut into %q of kind %q, %t", text, bytes, gotKind, ok)
		}
		if other, otherKind := key(t), kind(t); RouteName(other, otherKind) == text && (other != wantKey || otherKind != wantKind) {
			t.Fatalf("%q of kind %q and %q of kind %q are both %q", wantKey, wantKind, other, otherKind, text)
		}
	})
	for _, bad := range []string{"web~", "web~opened", "web~open~", "~", "web~open~open"} {
		if _, _, ok := ParseRouteName(bad); ok {
			t.Errorf("%q was read", bad)
		}
	}
}

// TestKinds shows that every kind has its own suffix, which begins with the separator or is empty for the whole route.
func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for k := range routeKinds {
		if seen[k.Suffix()] || (k.Suffix() == "") != (k == RouteWhole) || k.Suffix() != "" && k.Suffix() != separator+k.String() {
			t.Errorf("kind %d has the suffix %q and the name %q", k, k.Suffix(), k)
		}
		seen[k.Suffix()] = true
	}
}

// TestCutRouteNameAllocatesNothing, because it is called for every entry of an access log.
func TestCutRouteNameAllocatesNothing(t *testing.T) {
	text := []byte("payments/charge~sampled")
	if n := testing.AllocsPerRun(100, func() { _, _, _ = CutRouteName(text) }); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// TestRuntimeKeys shows that every key is read as it was printed, and only by its own parser.
func TestRuntimeKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k, wantKind := key(t), RouteKind(rapid.IntRange(1, int(routeKinds)-1).Draw(t, "kind"))
		share, connections := ShareKey(k, wantKind), ConnectionsKey(k.Upstream)
		if got, gotKind, ok := ParseShareKey(share); got != k || gotKind != wantKind || !ok {
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
		from, until := LogRunning(rapid.IntRange(0, RunningWindows-1).Draw(t, "window"))
		for _, log := range []RuntimeKey{LogStatus, LogSlow, LogGone, LogBelow, LogWaiting, from, until} {
			if _, _, ok := ParseShareKey(log); ok || log == share {
				t.Fatalf("the log filter's key %q was read as a share, such as %q", log, share)
			}
		}
	})
	for _, bad := range []RuntimeKey{"", "breakwater", "breakwater.", "breakwater.web", "breakwater.web.", "breakwater.web.shut", "other.web.open"} {
		if _, _, ok := ParseShareKey(bad); ok {
			t.Errorf("%q was read as a share", bad)
		}
	}
}

// TestLogs shows that the upstream is read from the name of a log, and that other logs are not ours.
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

// TestReserved shows that the listener and the cluster of an upstream cannot have the proxy's own names.
func TestReserved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		upstream := name(t, "upstream")
		if TCPListener(upstream) == EgressName || upstream == EgressCluster {
			t.Fatalf("%q takes a name of the proxy's own", upstream)
		}
	})
}

// TestValidNodeID shows that ids are printable, not empty and not too long.
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

// TestSampling shows that 0 and 1 mean the same, and that an exact log does not change what the sample is.
func TestSampling(t *testing.T) {
	for s, complete := range map[Sampling]bool{
		{}: true, {Passed: 1, Rejected: 1}: true, {Passed: 1}: true, {Passed: 2, Rejected: 1}: false, {Rejected: 2}: false,
		{Exact: true}: true, {Passed: 2, Exact: true}: false,
	} {
		if all := s.All(); s.Complete() != complete || all.Complete() != complete || all.Passed == 0 || all.Rejected == 0 || all.Exact != s.Exact {
			t.Errorf("%+v is complete: %t, want %t; with 1 for 0 it is %+v", s, s.Complete(), complete, all)
		}
	}
}
