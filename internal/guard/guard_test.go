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

// newGuard has 8 MiB, so that an eighth is 1 MiB, and one rule.
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

// meetAs is a peer with a certificate of a workload.
func meetAs(t testing.TB, g *Guard, workload string) *Peer {
	t.Helper()
	u, err := url.Parse("spiffe://c/ns/n/sa/" + workload)
	if err != nil {
		t.Fatal(err)
	}
	auth := credentials.TLSInfo{}
	auth.State.PeerCertificates = []*x509.Certificate{{URIs: []*url.URL{u}, Subject: pkix.Name{CommonName: "x"}}}
	return g.meet(somewhere, auth)
}

func (g *Guard) refused(s Service, r Reason) uint64 { return g.refusals.totals[s][r].Load() }

func TestWhoeverHasNoRuleMayClaimAll(t *testing.T) {
	g := New(Options{Log: slog.New(slog.DiscardHandler)})
	for _, p := range []*Peer{nil, Of(t.Context()), g.meet(somewhere, nil)} {
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
		t.Errorf("of a socket: %q", got)
	}
}

// TestTheWordOfAProxyThatLeftCountsForAMinute, and not of one that never came.
func TestTheWordOfAProxyThatLeftCountsForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newGuard(t)
		p, other := meetAs(t, g, "shop"), meetAs(t, g, "thief")
		if p.May("a") {
			t.Error("it said nothing yet")
		}
		l, m := p.List(), meetAs(t, g, "shop").List()
		l.Set(false, []string{"a", "b"})
		m.Set(false, []string{"b"})
		if !p.May("a") || !p.May("b") || p.May("c") || other.May("a") {
			t.Error("it calls a and b, and nobody else does")
		}
		l.Set(false, []string{"b", "c"})
		if p.May("a") || !p.May("c") {
			t.Error("it has changed its mind")
		}
		m.Set(true, nil)
		if !p.May("whatever") {
			t.Error("another pod of it calls all")
		}
		m.Close()
		if p.May("whatever") || !p.May("b") {
			t.Error("that pod has left")
		}
		l.Close()
		time.Sleep(lingering)
		if !p.May("b") || p.May("a") {
			t.Error("the last one has just left")
		}
		again := p.List()
		again.Set(false, []string{"d"})
		if p.May("b") || !p.May("d") {
			t.Error("what it said before is forgotten when it says something else")
		}
		again.Close()
		time.Sleep(lingering + time.Second)
		if p.May("d") {
			t.Error("it left more than a minute ago")
		}
	})
}

func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, log := newGuard(t)
		p, other := meetAs(t, g, "thief"), meetAs(t, g, "shop")
		for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
			p.Overdue("a", time.Second)
			p.Overdue("a", time.Second) // at the same time: it counts once
			if p.Probes("a") || !p.Probes("b") || !other.Probes("a") {
				t.Error("it alone may not probe a, and only that")
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
				t.Fatal("a pause is longer than it may be")
			}
		}
		p.Kept("a")
		p.Overdue("a", time.Second)
		time.Sleep(time.Second + time.Millisecond)
		if !p.Probes("a") {
			t.Error("after a probe that was kept it begins anew")
		}
		if got := strings.Count(log.String(), "reason=probes"); got == 0 || got > 24 {
			t.Errorf("%d lines", got)
		}
	})
}

// TestShares: one account cannot take everything, and no class of it what the others need.
func TestShares(t *testing.T) {
	g, _ := newGuard(t)
	p, other := meetAs(t, g, "a"), meetAs(t, g, "b")
	const mib = 1 << 20
	for _, step := range []struct {
		name string
		err  error
		want codes.Code
	}{
		{"calls up to their share", p.Take(ExtProc, 3*mib), codes.OK},
		{"beyond it", p.Take(ExtProc, 1), codes.ResourceExhausted},
		{"data up to their share", p.TakeData(2 * mib), codes.OK},
		{"beyond it", p.TakeData(1), codes.ResourceExhausted},
		{"all up to its share", p.Take(XDS, mib), codes.OK},
		{"beyond it", p.Take(AccessLog, 1), codes.ResourceExhausted},
		{"others, up to what is left", other.Take(XDS, 2*mib), codes.OK},
		{"beyond it", other.Take(XDS, 1), codes.ResourceExhausted},
	} {
		if got := status.Code(step.err); got != step.want {
			t.Errorf("%s: %v, want %s", step.name, step.err, step.want)
		}
	}
	if held, most := g.Held(); held != most {
		t.Errorf("%d bytes are held, want %d", held, most)
	}
	p.Give(ExtProc, 3*mib)
	p.GiveData(2 * mib)
	p.Give(XDS, mib)
	other.Give(XDS, 2*mib)
	if held, _ := g.Held(); held != 0 {
		t.Errorf("%d bytes are held at the end", held)
	}
	if g.refused(ExtProc, Memory) != 1 || g.refused(XDS, Memory) != 2 || g.refused(AccessLog, Memory) != 1 {
		t.Errorf("refused: %v", g.Refused())
	}
}

func TestQueueIsWhatIsNotWritten(t *testing.T) {
	g, _ := newGuard(t)
	p := meetAs(t, g, "a")
	held := func(want int64) {
		t.Helper()
		if got, _ := g.Held(); got != want {
			t.Errorf("%d bytes are held, want %d", got, want)
		}
	}
	for _, size := range []int64{100, 200, 300} {
		if err := p.Queue(size, 0); err != nil {
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
	p.wrote(1_000) // with all that frames it
	held(0)
	for range 2 { // while one is written in part
		if err := p.Queue(100, 0); err != nil {
			t.Fatal(err)
		}
		p.wrote(60)
	}
	held(100)
	p.wrote(79)
	held(100)
	p.wrote(1)
	held(0)
	if err := p.Queue(10, 5); err != nil {
		t.Fatal(err)
	}
	held(15)
	p.GiveData(p.queue.end())
	held(0)
	if err := p.Queue(10, 5); err != nil {
		t.Error(err)
	}
	held(0)
}

// TestARequestCostsNoAllocation on its way through the guard.
func TestARequestCostsNoAllocation(t *testing.T) {
	g, _ := newGuard(t)
	p := meetAs(t, g, "shop")
	p.List().Set(false, []string{"payments"})
	ctx := withPeer(t.Context(), p)
	allocations := testing.AllocsPerRun(1_000, func() {
		p := Of(ctx)
		if p.Take(ExtProc, CallBytes) != nil || p.AdmitCall("") != nil || p.AdmitCall("shop-0") != nil || !p.May("payments") {
			t.Error("a request that is in order is refused")
		}
		p.Give(ExtProc, CallBytes)
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func withPeer(ctx context.Context, p *Peer) context.Context {
	return peer.NewContext(ctx, &peer.Peer{AuthInfo: info{nil, p}})
}

func BenchmarkRequest(b *testing.B) {
	g, _ := newGuard(b)
	p := meetAs(b, g, "shop")
	p.List().Set(false, []string{"payments"})
	ctx := withPeer(b.Context(), p)
	b.ReportAllocs()
	for b.Loop() {
		p := Of(ctx)
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

// TestNothingIsRefusedUnseen: also what a service is not known to have is shown.
func TestNothingIsRefusedUnseen(t *testing.T) {
	for s := range services {
		for r := range reasons {
			g, _ := newGuard(t)
			_ = meetAs(t, g, "shop").Refuse(s, r, "why")
			if want := (Refused{s.String(), r.String(), 1}); !slices.Contains(g.Refused(), want) {
				t.Errorf("no %+v in %v", want, g.Refused())
			}
		}
	}
}

// TestRefusalsAreLoggedOnceInAWhile, and the next line has how many there were.
func TestRefusalsAreLoggedOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, log := newGuard(t)
		p := meetAs(t, g, "shop")
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
			t.Errorf("%d are counted, and 8 lines were left out:\n%s", g.refused(ExtProc, Upstream), log)
		}
	})
}
