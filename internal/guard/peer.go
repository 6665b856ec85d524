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

// Peer is the proxy at the other end of one connection. A nil Peer, in tests without a connection, may do everything.
// A peer is safe for concurrent use.
type Peer struct {
	guard       *Guard
	account     *account
	certificate string // the names in its certificate, for messages
	shown       []*x509.Certificate
	claims      []claim // the identities that its certificate allows
	hasRules    bool    // the guard has rules of identity
	connected   time.Time
	close       func()
	xds         atomic.Int32 // open configuration streams
	queue       queue
	resets      struct{ second, count atomic.Int64 } // streams reset in a second of Unix time
}

// peerInfo attaches a Peer to the streams of its connection.
type peerInfo struct {
	credentials.AuthInfo
	peer *Peer
}

// PeerFrom returns the peer of a stream from the stream's context, or nil if its connection did not pass a guard.
func PeerFrom(ctx context.Context) *Peer {
	if p, ok := peer.FromContext(ctx); ok {
		if i, ok := p.AuthInfo.(peerInfo); ok {
			return i.peer
		}
	}
	return nil
}

// newPeer makes the peer of a connection whose handshake is over, and counts the connection in the peer's account.
func (g *Guard) newPeer(address net.Addr, auth credentials.AuthInfo) *Peer {
	p := &Peer{guard: g, hasRules: g.options.Rules != nil, connected: time.Now()}
	key := addressKey(address)
	p.certificate = "no certificate"
	if t, ok := auth.(credentials.TLSInfo); ok && len(t.State.PeerCertificates) > 0 {
		leaf := t.State.PeerCertificates[0]
		p.shown = t.State.PeerCertificates
		p.certificate = describe(leaf)
		key = p.certificate
		if p.hasRules {
			p.claims = g.options.Rules.claims(uris(leaf), leaf.DNSNames)
		}
		if len(p.claims) > 0 {
			key = p.claims[0].name
		}
	}
	p.account = g.account(key)
	return p
}

// Certificates returns the certificates that the peer has shown, its own first.
func (p *Peer) Certificates() []*x509.Certificate {
	if p == nil {
		return nil
	}
	return p.shown
}

// Connected returns when the handshake was over.
func (p *Peer) Connected() time.Time {
	if p == nil {
		return time.Now()
	}
	return p.connected
}

func uris(c *x509.Certificate) []string {
	all := make([]string, len(c.URIs))
	for i, u := range c.URIs {
		all[i] = u.String()
	}
	return all
}

// describe returns the URIs and DNS names in a certificate, or a sentence with its subject if it has none.
func describe(c *x509.Certificate) string {
	names := append(uris(c), c.DNSNames...)
	if len(names) == 0 {
		return fmt.Sprintf("a certificate of %q without URI and DNS names", c.Subject.String())
	}
	return strings.Join(names, ", ")
}

// addressKey returns the key of a peer without a certificate.
func addressKey(a net.Addr) string { return Network(a.String()) }

// Network returns the part of an address that stands for one peer: the whole IPv4 address, or the first 64 bits of an
// IPv6 address, since a host often has the rest for itself. The address has a port; other text is returned as it is.
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

// Name returns the name in the peer's certificate, or the peer's address. It is for logs, and for counting by peer.
func (p *Peer) Name() string {
	if p == nil {
		return ""
	}
	return p.account.key
}

// Admit returns an error for a stream whose node id or workload the peer's certificate does not allow. Cluster is the
// node's cluster, which names the workload.
func (p *Peer) Admit(s Service, id, cluster string) error {
	if p == nil || !p.hasRules {
		return nil
	}
	for i := range p.claims {
		if p.claims[i].allows(id, cluster) {
			return nil
		}
	}
	return p.Refuse(s, Identity, fmt.Sprintf("the stream says that it is node %.64q of workload %.64q; its certificate says %s, and no rule of --node-identity allows that", id, cluster, p.certificate))
}

// AdmitCall returns an error for an ext_proc stream if the peer's certificate matches no rule, or does not allow the
// node id. An empty id stands for a stream that names no node.
func (p *Peer) AdmitCall(id string) error {
	if p == nil || !p.hasRules {
		return nil
	}
	for i := range p.claims {
		if id == "" || p.claims[i].allowsID(id) {
			return nil
		}
	}
	if id == "" {
		return p.Refuse(ExtProc, Identity, fmt.Sprintf("the certificate says %s, which fits no rule of --node-identity", p.certificate))
	}
	return p.Refuse(ExtProc, Identity, fmt.Sprintf("the call says that it is of node %.64q; its certificate says %s, and no rule of --node-identity allows that", id, p.certificate))
}

// Take counts n more bytes that the peer uses for a connection or a stream. It returns an error, and counts nothing,
// if this peer or all peers together would use too many. The caller returns the bytes with [Peer.Give].
func (p *Peer) Take(s Service, n int64) error { return p.take(s, classOf(s), n) }

// Give returns n bytes that were taken for a service.
func (p *Peer) Give(s Service, n int64) { p.give(classOf(s), n) }

// TakeData is [Peer.Take] for the data of a configuration stream.
func (p *Peer) TakeData(n int64) error { return p.take(XDS, classData, n) }

// GiveData returns n bytes that were taken with [Peer.TakeData].
func (p *Peer) GiveData(n int64) { p.give(classData, n) }

func classOf(s Service) int {
	if s == ExtProc {
		return classCalls
	}
	return classAll
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
	p.account.held[classAll].Add(-n)
	if class != classAll {
		p.account.held[class].Add(-n)
	}
}

// maxXDS is how many configuration streams one connection may have. An Envoy has two, one for resources and one for its
// runtime layer, and four while it replaces them.
const maxXDS = 8

// JoinXDS counts a configuration stream and its memory until leave is called. It returns an error if there are too
// many.
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

// maxResets is how many streams of a connection may end within a second without having sent a message. An Envoy sends
// the first message together with the headers of the stream.
const maxResets = 500

const bannedReason = "a connection of this peer has just been closed for streams that ended before they had sent anything"

// connect takes the memory of a connection, if the peer may have one.
func (p *Peer) connect() error {
	if p.guard.isBanned(p.account) {
		return p.Refuse(Connection, Resets, bannedReason)
	}
	return p.Take(Connection, ConnectionBytes)
}

// Reset counts a stream that ended without having sent a message. Many such streams are an attack by the work that
// streams cost (CVE-2023-44487): beyond 500 in a second the connection is closed, and the peer gets no new one for a
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
		p.guard.banAccount(p.account)
		p.close()
	}
}
