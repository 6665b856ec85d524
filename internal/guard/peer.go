package guard

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Peer is who is at the other end of one connection. A nil Peer, in tests without a
// connection, may do everything.
type Peer struct {
	guard   *Guard
	account *account
	shown   string  // the certificate, for people
	claims  []claim // what it may claim to be
	bound   bool    // there are rules
	close   func()
	xds     atomic.Int32
	queue   queue
	resets  struct{ second, count atomic.Int64 }
}

// info is how a Peer travels with the streams of its connection.
type info struct {
	credentials.AuthInfo
	peer *Peer
}

// Of returns the peer of a stream.
func Of(ctx context.Context) *Peer {
	if p, ok := peer.FromContext(ctx); ok {
		if i, ok := p.AuthInfo.(info); ok {
			return i.peer
		}
	}
	return nil
}

// meet makes the peer of a connection whose handshake is over.
func (g *Guard) meet(address net.Addr, auth credentials.AuthInfo) *Peer {
	p := &Peer{guard: g, bound: g.options.Rules != nil}
	key := addressKey(address)
	p.shown = "no certificate"
	if t, ok := auth.(credentials.TLSInfo); ok && len(t.State.PeerCertificates) > 0 {
		leaf := t.State.PeerCertificates[0]
		names := namesOf(leaf)
		p.shown = show(leaf, names)
		key = p.shown
		if p.bound {
			p.claims = g.options.Rules.claims(uris(leaf), leaf.DNSNames)
		}
		if len(p.claims) > 0 {
			key = p.claims[0].name
		}
	}
	p.account = g.account(key)
	return p
}

func uris(c *x509.Certificate) []string {
	all := make([]string, len(c.URIs))
	for i, u := range c.URIs {
		all[i] = u.String()
	}
	return all
}

// namesOf are the names by which a certificate can be recognised.
func namesOf(c *x509.Certificate) []string { return append(uris(c), c.DNSNames...) }

func show(c *x509.Certificate, names []string) string {
	if len(names) == 0 {
		return fmt.Sprintf("a certificate of %q without URI and DNS names", c.Subject.String())
	}
	return strings.Join(names, ", ")
}

// addressKey is the network that one peer without a certificate comes from: an IPv4 address, or
// the /64 that a host with IPv6 has for itself.
func addressKey(a net.Addr) string { return Network(a.String()) }

// Network is the network of one peer, of an address with a port.
func Network(address string) string {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return address
	}
	ip := ap.Addr().Unmap()
	if ip.Is4() {
		return ip.String()
	}
	network, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return network.String()
}

// Name says who the peer is, for logs and for what is counted by peer: the name in its
// certificate, or its address.
func (p *Peer) Name() string {
	if p == nil {
		return ""
	}
	return p.account.key
}

// Admit refuses a stream that claims to be of a node and a workload which the certificate does
// not allow.
func (p *Peer) Admit(s Service, id, cluster string) error {
	if p == nil || !p.bound {
		return nil
	}
	for i := range p.claims {
		if p.claims[i].allows(id, cluster) {
			return nil
		}
	}
	return p.Refuse(s, Identity, fmt.Sprintf("the stream says that it is node %.64q of workload %.64q; its certificate says %s, and no rule of --node-identity allows that", id, cluster, p.shown))
}

// AdmitCall refuses a call whose certificate fits no rule, or which names a node that it does
// not allow; an id that is "" names none.
func (p *Peer) AdmitCall(id string) error {
	if p == nil || !p.bound {
		return nil
	}
	for i := range p.claims {
		if id == "" || p.claims[i].allowsID(id) {
			return nil
		}
	}
	if id == "" {
		return p.Refuse(ExtProc, Identity, fmt.Sprintf("the certificate says %s, which fits no rule of --node-identity", p.shown))
	}
	return p.Refuse(ExtProc, Identity, fmt.Sprintf("the call says that it is of node %.64q; its certificate says %s, and no rule of --node-identity allows that", id, p.shown))
}

// Take has the peer hold n bytes more, for a connection or a stream. An error says that it holds
// too many, or all do; nothing is held then. Whoever took gives back with [Peer.Give].
func (p *Peer) Take(s Service, n int64) error { return p.take(s, classOf(s), n) }

// Give gives back what was taken for a service.
func (p *Peer) Give(s Service, n int64) { p.give(classOf(s), n) }

// TakeData is [Peer.Take] for what a stream of configuration keeps.
func (p *Peer) TakeData(n int64) error { return p.take(XDS, data, n) }

// GiveData gives back what was taken by [Peer.TakeData].
func (p *Peer) GiveData(n int64) { p.give(data, n) }

func classOf(s Service) int {
	if s == ExtProc {
		return calls
	}
	return all
}

func (p *Peer) take(s Service, class int, n int64) error {
	if p == nil || n == 0 || p.guard.take(p.account, class, n) {
		return nil
	}
	p.give(class, n)
	return p.Refuse(s, Memory, "what this proxy or all proxies together hold in the control plane has reached its bound, see serve --proxy-memory")
}

func (p *Peer) give(class int, n int64) {
	if p == nil || n == 0 {
		return
	}
	p.guard.held.Add(-n)
	p.account.held[all].Add(-n)
	if class != all {
		p.account.held[class].Add(-n)
	}
}

// maxXDS is how many streams of configuration one connection may have. An Envoy has two, one
// for resources and one for its runtime layer; twice as many while it exchanges them.
const maxXDS = 8

// JoinXDS counts a stream of configuration, until leave is called.
func (p *Peer) JoinXDS() (leave func(), err error) {
	if p == nil {
		return func() {}, nil
	}
	if p.xds.Add(1) > maxXDS {
		p.xds.Add(-1)
		return nil, p.Refuse(XDS, Streams, fmt.Sprintf("a connection may have at most %d streams of configuration", maxXDS))
	}
	if err := p.Take(XDS, XDSBytes); err != nil {
		p.xds.Add(-1)
		return nil, err
	}
	return func() {
		p.xds.Add(-1)
		p.Give(XDS, XDSBytes)
	}, nil
}

// maxResets is how many streams a connection may end within a second before they have sent
// anything. An Envoy sends the first message together with the headers of the stream.
const maxResets = 500

const banned = "a connection of this peer has just been closed for streams that ended before they had sent anything"

// connect takes what a connection holds, if the peer may have one.
func (p *Peer) connect() error {
	if p.guard.forbidden(p.account) {
		return p.Refuse(Connection, Resets, banned)
	}
	return p.Take(Connection, ConnectionBytes)
}

// Reset counts a stream that has ended before it sent anything. Who does that all the time wants
// the work that streams cost (CVE-2023-44487), and loses the connection, and the next ones for a
// while.
func (p *Peer) Reset() {
	if p == nil || p.close == nil {
		return
	}
	if now := time.Now().Unix(); p.resets.second.Swap(now) != now {
		p.resets.count.Store(0)
	}
	if p.resets.count.Add(1) == maxResets {
		p.guard.refuse(kind{p.account.key, Connection, Resets}, fmt.Sprintf("%d streams ended within a second before they had sent anything; the connection is closed, and there is no new one for a while", maxResets))
		p.guard.forbid(p.account)
		p.close()
	}
}
