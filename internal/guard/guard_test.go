package guard

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// newGuard returns a guard with one rule, room for 4 connections, and 8 MiB of memory, so that an eighth is 1 MiB. The
// second result is its log.
func newGuard(t testing.TB) (*Guard, *strings.Builder) {
	t.Helper()
	rules, err := ParseRules([]string{"spiffe://{any}/ns/{any}/sa/{workload}"})
	if err != nil {
		t.Fatal(err)
	}
	log := &strings.Builder{}
	return New(Options{Rules: rules, Memory: 8 << 20, Connections: 4, Log: slog.New(slog.NewTextHandler(log, nil))}), log
}

var somewhere = &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 4}

// peerAs returns a peer with a certificate of a workload.
func peerAs(t testing.TB, g *Guard, workload string) *Peer {
	t.Helper()
	u, err := url.Parse("spiffe://c/ns/n/sa/" + workload)
	if err != nil {
		t.Fatal(err)
	}
	auth := credentials.TLSInfo{}
	auth.State.PeerCertificates = []*x509.Certificate{{URIs: []*url.URL{u}, Subject: pkix.Name{CommonName: "x"}}}
	return g.newPeer(somewhere, auth)
}

func (g *Guard) refused(s Service, r Reason) uint64 { return g.refusals.totals[s][r].Load() }

func TestWithoutRulesAPeerMayClaimAnyIdentity(t *testing.T) {
	g := New(Options{Log: slog.New(slog.DiscardHandler)})
	for _, p := range []*Peer{nil, PeerFrom(t.Context()), g.newPeer(somewhere, nil)} {
		if p.Admit(XDS, "x", "y") != nil || p.AdmitCall("x") != nil || !p.May("x") || !p.Probes("x") {
			t.Errorf("%q is refused", p.Name())
		}
		p.List().Set(false, []string{"a"})
		p.Overdue("x", time.Second)
		p.Kept("x")
		p.Reset()
		leave, err := p.JoinXDS()
		if err != nil {
			t.Fatal(err)
		}
		leave()
	}
}

func TestAccountsAreByNetworkWithoutCertificates(t *testing.T) {
	for address, want := range map[string]string{
		"10.1.2.3:4": "10.1.2.3", "[::ffff:10.1.2.3]:4": "10.1.2.3", "[2001:db8::1:2]:4": "2001:db8::/64", "[fe80::1%eth0]:4": "fe80::/64",
	} {
		a, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := addressKey(a); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	if got := addressKey(&net.UnixAddr{Name: "@"}); got != "@" {
		t.Errorf("the key of a Unix socket is %q", got)
	}
}

// TestUpstreamsOfAProxyThatLeftCountForAMinute shows also that a proxy without a listing may report on none.
func TestUpstreamsOfAProxyThatLeftCountForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newGuard(t)
		p, other := peerAs(t, g, "shop"), peerAs(t, g, "thief")
		if p.May("a") {
			t.Error("a may be reported on before anything is listed")
		}
		l, m := p.List(), peerAs(t, g, "shop").List()
		l.Set(false, []string{"a", "b"})
		m.Set(false, []string{"b"})
		if !p.May("a") || !p.May("b") || p.May("c") || other.May("a") {
			t.Error("the workload lists a and b, and no other workload does")
		}
		l.Set(false, []string{"b", "c"})
		if p.May("a") || !p.May("c") {
			t.Error("the listing has c instead of a")
		}
		m.Set(true, nil)
		if !p.May("whatever") {
			t.Error("another pod of the workload lists all upstreams")
		}
		m.Close()
		if p.May("whatever") || !p.May("b") {
			t.Error("the pod that listed all upstreams has left")
		}
		l.Close()
		time.Sleep(lingering)
		if !p.May("b") || p.May("a") {
			t.Error("the last pod left less than a minute ago")
		}
		again := p.List()
		again.Set(false, []string{"d"})
		if p.May("b") || !p.May("d") {
			t.Error("a new listing must replace the old one")
		}
		again.Close()
		time.Sleep(lingering + time.Second)
		if p.May("d") {
			t.Error("the last pod left more than a minute ago")
		}
	})
}

func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, log := newGuard(t)
		p, other := peerAs(t, g, "thief"), peerAs(t, g, "shop")
		for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
			p.Overdue("a", time.Second)
			p.Overdue("a", time.Second) // a second probe at the same time does not count
			if p.Probes("a") || !p.Probes("b") || !other.Probes("a") {
				t.Error("only this peer must pause, and only for breaker a")
			}
			time.Sleep(want - time.Millisecond)
			if p.Probes("a") {
				t.Errorf("the pause of %s is over early", want)
			}
			time.Sleep(2 * time.Millisecond)
			if !p.Probes("a") {
				t.Errorf("the pause of %s is not over", want)
			}
		}
		for range 20 {
			p.Overdue("a", time.Second)
			time.Sleep(maxPause + time.Millisecond)
			if !p.Probes("a") {
				t.Fatal("a pause is longer than maxPause")
			}
		}
		p.Kept("a")
		p.Overdue("a", time.Second)
		time.Sleep(time.Second + time.Millisecond)
		if !p.Probes("a") {
			t.Error("the pause after a probe with an outcome is not a short one again")
		}
		if got := strings.Count(log.String(), "reason=probes"); got == 0 || got > 24 {
			t.Errorf("%d log lines about probes, want 1 to 24", got)
		}
	})
}

// TestShares shows that one account cannot take all memory, and that no class of an account can take the memory that its
// other classes need.
func TestShares(t *testing.T) {
	g, _ := newGuard(t)
	p, other := peerAs(t, g, "a"), peerAs(t, g, "b")
	const mib = 1 << 20
	for _, step := range []struct {
		name string
		err  error
		want codes.Code
	}{
		{"ext_proc streams up to their share", p.Take(ExtProc, 3*mib), codes.OK},
		{"ext_proc streams beyond their share", p.Take(ExtProc, 1), codes.ResourceExhausted},
		{"data up to its share", p.TakeData(2 * mib), codes.OK},
		{"data beyond its share", p.TakeData(1), codes.ResourceExhausted},
		{"the account up to its share", p.Take(XDS, mib), codes.OK},
		{"the account beyond its share", p.Take(AccessLog, 1), codes.ResourceExhausted},
		{"another account up to the whole memory", other.Take(XDS, 2*mib), codes.OK},
		{"another account beyond the whole memory", other.Take(XDS, 1), codes.ResourceExhausted},
	} {
		if got := status.Code(step.err); got != step.want {
			t.Errorf("%s: %v, want %s", step.name, step.err, step.want)
		}
	}
	if held := g.held.Load(); held != g.options.Memory {
		t.Errorf("%d bytes are held, want %d", held, g.options.Memory)
	}
	p.Give(ExtProc, 3*mib)
	p.GiveData(2 * mib)
	p.Give(XDS, mib)
	other.Give(XDS, 2*mib)
	if held := g.held.Load(); held != 0 {
		t.Errorf("%d bytes are held at the end", held)
	}
	if g.refused(ExtProc, Memory) != 1 || g.refused(XDS, Memory) != 2 || g.refused(AccessLog, Memory) != 1 {
		t.Errorf("refused: %v", g.Refused())
	}
}

func TestQueueCountsUntilWritten(t *testing.T) {
	g, _ := newGuard(t)
	p := peerAs(t, g, "a")
	held := func(want int64) {
		t.Helper()
		if got := g.held.Load(); got != want {
			t.Errorf("%d bytes are held, want %d", got, want)
		}
	}
	for _, size := range []int64{100, 200, 300} {
		if err := p.Queue(size, size); err != nil {
			t.Fatal(err)
		}
	}
	held(600)
	p.wrote(99)
	held(600)
	p.wrote(1)
	held(500)
	p.wrote(499)
	held(300)
	p.wrote(1_000) // the last response, and the frames around all of them
	held(0)
	for range 2 { // the second response is queued while the first is partly written
		if err := p.Queue(100, 100); err != nil {
			t.Fatal(err)
		}
		p.wrote(60)
	}
	held(100)
	p.wrote(79)
	held(100)
	p.wrote(1)
	held(0)
	if err := p.Queue(10, 15); err != nil {
		t.Fatal(err)
	}
	held(15)
	p.GiveData(p.queue.end())
	held(0)
	if err := p.Queue(10, 15); err != nil {
		t.Error(err)
	}
	held(0)
}

func TestARequestCostsNoAllocation(t *testing.T) {
	g, _ := newGuard(t)
	p := peerAs(t, g, "shop")
	p.List().Set(false, []string{"payments"})
	ctx := withPeer(t.Context(), p)
	allocations := testing.AllocsPerRun(1_000, func() {
		p := PeerFrom(ctx)
		if p.Take(ExtProc, CallBytes) != nil || p.AdmitCall("") != nil || p.AdmitCall("shop-0") != nil || !p.May("payments") {
			t.Error("an allowed request is refused")
		}
		p.Give(ExtProc, CallBytes)
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func withPeer(ctx context.Context, p *Peer) context.Context {
	return peer.NewContext(ctx, &peer.Peer{AuthInfo: peerInfo{nil, p}})
}

func BenchmarkRequest(b *testing.B) {
	g, _ := newGuard(b)
	p := peerAs(b, g, "shop")
	p.List().Set(false, []string{"payments"})
	ctx := withPeer(b.Context(), p)
	b.ReportAllocs()
	for b.Loop() {
		p := PeerFrom(ctx)
		if p.Take(ExtProc, CallBytes) != nil || p.AdmitCall("") != nil || !p.May("payments") {
			b.Fatal("refused")
		}
		p.Give(ExtProc, CallBytes)
	}
}

func TestEveryReasonHasAName(t *testing.T) {
	seen := map[Refused]bool{}
	g, _ := newGuard(t)
	for _, r := range g.Refused() {
		if r.Service == "" || r.Reason == "" || seen[r] {
			t.Errorf("%+v", r)
		}
		seen[r] = true
	}
}

// TestAllRefusalsAreReported shows that Refused has totals for unexpected pairs of service and reason too.
func TestAllRefusalsAreReported(t *testing.T) {
	for s := range services {
		for r := range reasons {
			g, _ := newGuard(t)
			_ = peerAs(t, g, "shop").Refuse(s, r, "why")
			if want := (Refused{s.String(), r.String(), 1}); !slices.Contains(g.Refused(), want) {
				t.Errorf("no %+v in %v", want, g.Refused())
			}
		}
	}
}

// TestRefusalsAreLoggedOnceInAWhile shows also that the next line has the number of lines left out.
func TestRefusalsAreLoggedOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, log := newGuard(t)
		p := peerAs(t, g, "shop")
		for range 5 {
			_ = p.Refuse(XDS, Streams, "why")
			p.RefuseReport(ExtProc, "payments")
		}
		if got := strings.Count(log.String(), "something of a peer was refused"); got != 2 {
			t.Errorf("%d lines, want one of each kind:\n%s", got, log)
		}
		time.Sleep(10 * time.Second)
		p.RefuseReport(ExtProc, "payments")
		if !strings.Contains(log.String(), "lines_left_out=8") || g.refused(ExtProc, Upstream) != 6 {
			t.Errorf("%d refusals are counted, want 6, and the log must have lines_left_out=8:\n%s", g.refused(ExtProc, Upstream), log)
		}
	})
}
