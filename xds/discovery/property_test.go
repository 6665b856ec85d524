package discovery

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"pgregory.net/rapid"

	"breakwater.dev/endpoints"
	"breakwater.dev/gate"
	"breakwater.dev/policy"
	"breakwater.dev/wire"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/lease"
	"breakwater.dev/xds/discovery/internal/plan"
	"breakwater.dev/xds/discovery/internal/protocol"
	"breakwater.dev/xds/internal/resource"
)

// poison is the connection limit of a cluster that the proxy may refuse.
const poison = 666

// variants is how many shapes an upstream of a history has; a quarter of them is absence.
const variants = 24

// pool makes the upstreams of histories, each parsed once. Shape 0 is no upstream.
type pool map[string]*policy.Upstream

func (p pool) upstream(t fatal, name string, shape int) *policy.Upstream {
	t.Helper()
	if shape >= 18 {
		return nil
	}
	limit := []int{100, 200, poison}[shape%3]
	timeout := []string{"1s", "2s"}[shape/3%2]
	where := []string{
		"endpoints: [{address: 10.0.0.7, port: 80}]",
		"endpoints: [{address: 10.0.0.7, port: 81}]",
		"dns: {name: example.org, port: 80}",
	}[shape/6]
	text := fmt.Sprintf(`
apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: %[1]s}
spec:
  hosts: [%[1]s]
  protocol: HTTP1
  %[4]s
---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: %[1]s}
spec:
  targetRefs: [{kind: Upstream, name: %[1]s}]
  timeout: %[3]s
  connectionLimits: {maxConnections: %[2]d}
`, name, limit, timeout, where)
	if u, ok := p[text]; ok {
		return u
	}
	set, diagnostics := policy.Parse([]policy.File{{Name: "p.yaml", Data: []byte(text)}}, policy.BuiltinDefaults())
	for _, d := range diagnostics {
		t.Fatalf("the policy of a test: %s", d)
	}
	p[text] = set.Upstreams[0]
	return set.Upstreams[0]
}

func (p pool) set(t fatal, shapes [4]int) *policy.Set {
	t.Helper()
	set := &policy.Set{}
	for i, name := range []string{"a", "b", "c", "d"} {
		if u := p.upstream(t, name, shapes[i]); u != nil {
			set.Upstreams = append(set.Upstreams, u)
		}
	}
	// The calls to upstreams of some shapes are taken over by the next upstream, or by the last.
	last := len(set.Upstreams) - 1
	for i := range last {
		switch shapes[i] % 4 {
		case 1:
			set.Upstreams[i] = takenOverBy(set.Upstreams[i], set.Upstreams[i+1].Name)
		case 2:
			set.Upstreams[i] = takenOverBy(set.Upstreams[i], set.Upstreams[last].Name)
		}
	}
	return set
}

// news is a response, whichever protocol it came in.
type news struct {
	typeURL, nonce string
	version        string                // SotW
	bodies         map[string]*anypb.Any // by name
	versions       map[string]string     // delta
	removed        []string              // delta
	ttl            time.Duration         // the last one in the response; 0: none
	ttls           map[string]time.Duration
	bare           map[string]bool // delta: the names of those without their content, which is in bodies all the same
	refused        bool            // the proxy will answer with a NACK
	lapsed         bool            // that is because it has dropped what the response renews
}

// link is a proxy's connection, in one of the protocols.
type link interface {
	// connect begins a stream with no request on it.
	connect(t *testing.T, s *Server)
	disconnect()
	// ask changes what the proxy wants; the first time it tells what it has.
	ask(typeURL string, first bool, want, add, drop []string) error
	answer(n *news) error
	// received returns the responses since the last call.
	received() []*news
	// processed notes that n was taken, or is going to be refused.
	processed(n *news)
	full() bool
}

type deltaLink struct {
	*deltaPipe
	introduced bool
	versions   map[string]map[string]string // by type and name, of what was taken
	layers     map[string]*anypb.Any        // taken, by name
	falls      map[string]time.Time         // when a layer's time to live is over, by name
}

func newDeltaLink() link {
	return &deltaLink{versions: map[string]map[string]string{}, layers: map[string]*anypb.Any{}, falls: map[string]time.Time{}}
}

func (l *deltaLink) connect(t *testing.T, s *Server) {
	l.deltaPipe, l.introduced = newPipe[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse](t.Context(), room), false
	go l.run(s, protocol.NewDelta(l.deltaPipe))
}

func (l *deltaLink) full() bool { return false }

func (l *deltaLink) say(m *discoveryv3.DeltaDiscoveryRequest) error {
	if !l.introduced {
		m.Node, l.introduced = nodeOf("app-1", nil), true
	}
	return say(l.deltaPipe, m)
}

func (l *deltaLink) ask(typeURL string, first bool, want, add, drop []string) error {
	m := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: add, ResourceNamesUnsubscribe: drop}
	for _, name := range drop {
		delete(l.versions[typeURL], name)
	}
	l.dropExpired()
	if first {
		m.ResourceNamesSubscribe, m.ResourceNamesUnsubscribe = want, nil
		m.InitialResourceVersions = maps.Clone(l.versions[typeURL])
	}
	return l.say(m)
}

func (l *deltaLink) answer(n *news) error {
	m := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: n.typeURL, ResponseNonce: n.nonce}
	if n.refused {
		m.ErrorDetail = refusalOf("poisoned")
	}
	return l.say(m)
}

func (l *deltaLink) received() []*news {
	var all []*news
	for _, m := range drained(l.out) {
		n := &news{
			typeURL: m.TypeUrl, nonce: m.Nonce, bodies: map[string]*anypb.Any{}, versions: map[string]string{}, removed: m.RemovedResources,
			ttls: map[string]time.Duration{}, bare: map[string]bool{},
		}
		for _, r := range m.Resources {
			if n.bodies[r.Name] = r.Resource; r.Resource == nil {
				n.bodies[r.Name], n.bare[r.Name] = l.layers[r.Name], true
			}
			n.versions[r.Name], n.ttl = r.Version, r.Ttl.AsDuration()
			if r.Ttl != nil {
				n.ttls[r.Name] = n.ttl
			}
		}
		all = append(all, n)
	}
	return all
}

// dropExpired forgets the layers whose time to live is over.
func (l *deltaLink) dropExpired() {
	for name, at := range l.falls {
		if !time.Now().Before(at) {
			delete(l.versions[xds.RuntimeType], name)
		}
	}
}

// processed does the same as Envoy's DeltaSubscriptionState: a resource without content renews the version that the proxy has, and the
// proxy refuses the whole response otherwise.
func (l *deltaLink) processed(n *news) {
	l.dropExpired()
	for name := range n.bare {
		if l.versions[n.typeURL][name] != n.versions[name] {
			n.refused, n.lapsed = true, true
		}
	}
	if n.refused {
		return
	}
	if l.versions[n.typeURL] == nil {
		l.versions[n.typeURL] = map[string]string{}
	}
	maps.Copy(l.versions[n.typeURL], n.versions)
	if n.typeURL == xds.RuntimeType {
		for name, body := range n.bodies {
			l.layers[name] = body
			if delete(l.falls, name); n.ttls[name] > 0 {
				l.falls[name] = time.Now().Add(n.ttls[name])
			}
		}
	}
	for _, name := range n.removed {
		delete(l.versions[n.typeURL], name)
	}
}

type sotwLink struct {
	*sotwPipe
	introduced bool
	nonces     map[string]string   // in the last answered response, by type
	versions   map[string]string   // in the last response taken, by type
	want       map[string][]string // by type
}

func (l *sotwLink) connect(t *testing.T, s *Server) {
	l.sotwPipe, l.introduced = newPipe[discoveryv3.DiscoveryRequest, discoveryv3.DiscoveryResponse](t.Context(), room), false
	l.nonces = map[string]string{}
	go l.run(s, protocol.NewSotw(l.sotwPipe))
}

func (l *sotwLink) full() bool { return true }

func (l *sotwLink) say(m *discoveryv3.DiscoveryRequest) error {
	m.VersionInfo, m.ResponseNonce, m.ResourceNames = l.versions[m.TypeUrl], l.nonces[m.TypeUrl], l.want[m.TypeUrl]
	if !l.introduced {
		m.Node, l.introduced = nodeOf("app-1", nil), true
	}
	return say(l.sotwPipe, m)
}

func (l *sotwLink) ask(typeURL string, _ bool, want, _, _ []string) error {
	l.want[typeURL] = want
	return l.say(&discoveryv3.DiscoveryRequest{TypeUrl: typeURL})
}

func (l *sotwLink) answer(n *news) error {
	m := &discoveryv3.DiscoveryRequest{TypeUrl: n.typeURL}
	l.nonces[n.typeURL] = n.nonce
	if n.refused {
		m.ErrorDetail = refusalOf("poisoned")
	}
	return l.say(m)
}

func (l *sotwLink) received() []*news {
	var all []*news
	for _, m := range drained(l.out) {
		n := &news{typeURL: m.TypeUrl, nonce: m.Nonce, version: m.VersionInfo, bodies: map[string]*anypb.Any{}, ttls: map[string]time.Duration{}}
		for _, body := range m.Resources {
			wrapped := &discoveryv3.Resource{}
			if err := body.UnmarshalTo(wrapped); err == nil {
				body, n.ttl = wrapped.Resource, wrapped.Ttl.AsDuration()
				n.ttls[nameOf(body)] = n.ttl
			}
			n.bodies[nameOf(body)] = body
		}
		all = append(all, n)
	}
	return all
}

func (l *sotwLink) processed(n *news) {
	if !n.refused {
		l.versions[n.typeURL] = n.version
	}
}

// say sends m and waits until the server has done all it does about it.
func say[Q, R any](w *pipe[Q, R], m *Q) error {
	select {
	case w.in <- m:
	case err := <-w.ended:
		return fmt.Errorf("the stream has ended: %w", err)
	}
	synctest.Wait()
	return nil
}

func (w *pipe[Q, R]) disconnect() {
	w.cancel()
	<-w.ended
	synctest.Wait()
}

// content is a cluster as the proxy has it.
type content struct {
	body string
	eds  bool
}

// denial is a resource that the proxy refused, in the response with a nonce.
type denial struct {
	body, nonce string
	// again: it has to come once more, since one that was refused with it was taken or is gone, or since it was refused with
	// others, of which each comes alone in delta.
	again bool
	at    time.Time // when the proxy refused it, on this stream
}

// mayRetry reports whether a resource that was refused at that time may come again.
func mayRetry(refused time.Time) bool {
	return !refused.IsZero() && time.Since(refused) >= protocol.FirstRetry*3/4
}

// peer is a proxy that does as Envoy does. It refuses whole responses.
type peer struct {
	link
	asked map[string]bool  // types, on this stream
	open  map[string]*news // unanswered, by type
	inbox []*news          // not processed yet

	newest    map[string]content // clusters taken
	active    map[string]content // clusters in use: taken and, if new or changed, with endpoints since
	warming   map[string]bool    // clusters whose newest is not in use yet
	endpoints map[string]string
	listener  string
	routes    string                 // the configuration of the routes
	hosts     map[string]*anypb.Any  // virtual hosts that came as resources, by name
	table     []*routev3.VirtualHost // all virtual hosts
	routed    []string               // clusters that the routes name
	led       []string               // where the routes lead, as ledBy writes it
	ledSince  time.Time              // when it last answered that it has taken some
	earlier   bool                   // it has them from an earlier stream
	unrouted  map[string]time.Time   // clusters that the routes named, and when they ceased to
	denied    map[string]denial
	known     map[string]map[string]string // delta: content last sent, by type and name
	last      map[string]string            // SotW: version last sent, by type
	stranger  bool                         // SotW: came back, and the server cannot know with which clusters

	layers   map[string]*peerLayer // the runtime layers for which it asks, by name
	deniedAt time.Time             // when clusters were refused last, on this stream
	trace    []string
}

// peerLayer is one runtime layer of a proxy.
type peerLayer struct {
	text    string    // as [opens] writes it
	falls   time.Time // when it falls away; zero: it stays
	sent    string    // the last one that was sent on this stream; "-": none
	sentAt  time.Time
	ttl     time.Duration // in the response with it
	taken   bool          // it was taken
	refused string        // the last one that was refused on this stream; "-": none
	at      time.Time
	again   bool // it has to come once more, since it was refused with others, of which each comes alone in delta
}

// parts are the names of the parts of a runtime layer.
func parts() (names []string) {
	for part := range wire.RuntimeParts {
		names = append(names, wire.RuntimePart(part))
	}
	return names
}

func newPeer(l link, layers ...string) *peer {
	all := map[string]*peerLayer{}
	for _, name := range layers {
		all[name] = &peerLayer{}
	}
	return &peer{
		link: l, layers: all, asked: map[string]bool{}, open: map[string]*news{}, newest: map[string]content{}, active: map[string]content{},
		warming: map[string]bool{}, endpoints: map[string]string{}, hosts: map[string]*anypb.Any{}, denied: map[string]denial{},
		known: map[string]map[string]string{}, last: map[string]string{}, unrouted: map[string]time.Time{},
	}
}

// edsNames are the names of the endpoints that the proxy wants.
func (p *peer) edsNames() []string {
	var names []string
	for name, c := range p.newest {
		if c.eds {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// begin asks for what the proxy wants, on a new stream.
func (p *peer) begin() error {
	p.asked, p.open, p.inbox, p.earlier = map[string]bool{}, map[string]*news{}, nil, true
	if err := p.want(xds.ClusterType, nil, nil, nil); err != nil {
		return err
	}
	if names := p.edsNames(); len(names) > 0 {
		if err := p.want(xds.EndpointType, names, nil, nil); err != nil {
			return err
		}
	}
	p.deniedAt = time.Time{}
	for _, l := range p.layers {
		l.sent, l.sentAt, l.taken, l.refused, l.at, l.again = "-", time.Time{}, false, "-", time.Time{}, false
	}
	if err := p.want(xds.RuntimeType, slices.Sorted(maps.Keys(p.layers)), nil, nil); err != nil {
		return err
	}
	if err := p.want(xds.ListenerType, nil, nil, nil); err != nil || p.listener == "" {
		return err
	}
	if err := p.want(xds.RouteType, []string{wire.RoutesName}, nil, nil); err != nil || p.routes == "" {
		return err
	}
	return p.wantHosts()
}

// wantHosts asks for the virtual hosts of the routes, unless they are within them.
func (p *peer) wantHosts() error {
	if p.full() || p.asked[xds.VirtualHostType] {
		return nil
	}
	return p.want(xds.VirtualHostType, []string{wire.RoutesName}, nil, nil)
}

func (p *peer) want(typeURL string, want, add, drop []string) error {
	first := !p.asked[typeURL]
	p.asked[typeURL] = true
	return p.ask(typeURL, first, want, add, drop)
}

// reconnect loses the stream and all that is under way on it.
func (p *peer) reconnect(t *testing.T, s *Server) error {
	p.disconnect()
	for name := range p.warming {
		// The server cannot know that it waits, so its initial_fetch_timeout passes.
		if p.endpoints[name] != "" {
			p.warm(name)
		}
	}
	// The server knows of what was taken, and of nothing else.
	p.known = map[string]map[string]string{xds.ClusterType: {}}
	for name, c := range p.newest {
		p.known[xds.ClusterType][name] = c.body
	}
	for name, d := range p.denied {
		p.denied[name] = denial{body: d.body, again: true}
	}
	p.last, p.stranger = map[string]string{}, p.full()
	p.connect(t, s)
	return p.begin()
}

// collect takes in what was sent, and demands that it may be on its way.
func (p *peer) collect() error {
	synctest.Wait()
	for _, n := range p.received() {
		p.trace = append(p.trace, "sent "+n.text())
		if o := p.open[n.typeURL]; o != nil {
			return fmt.Errorf("%s is sent while %s awaits its answer", n.text(), o.text())
		}
		p.open[n.typeURL] = n
		if err := p.mayCome(n); err != nil {
			return err
		}
		p.inbox = append(p.inbox, n)
	}
	return nil
}

func (n *news) text() string {
	return fmt.Sprintf("%s(%s) +%v -%v", shortType(n.typeURL), n.nonce, slices.Sorted(maps.Keys(n.bodies)), n.removed)
}

// mayCome demands that a response says something new, or something that was refused some
// time ago. Endpoints may come again, with their clusters.
func (p *peer) mayCome(n *news) error {
	if n.typeURL == xds.EndpointType {
		return nil
	}
	if n.typeURL == xds.RuntimeType {
		return p.layersMayCome(n)
	}
	if p.full() {
		if p.last[n.typeURL] == n.version && !(n.typeURL == xds.ClusterType && mayRetry(p.deniedAt)) {
			return fmt.Errorf("%s is sent twice in version %s", n.text(), n.version)
		}
		p.last[n.typeURL] = n.version
		return nil
	}
	known := p.known[n.typeURL]
	if known == nil {
		known = map[string]string{}
		p.known[n.typeURL] = known
	}
	for name, body := range n.bodies {
		if d := p.denied[name]; known[name] == string(body.Value) && !d.again && !mayRetry(d.at) {
			return fmt.Errorf("%s has %s as it was sent before", n.text(), name)
		}
		known[name] = string(body.Value)
	}
	for _, name := range n.removed {
		delete(known, name)
	}
	return nil
}

// layersMayCome demands of a layer the same as of all resources, except that a layer with a TTL may be renewed. In delta that is
// without its content while the proxy has it for a while.
func (p *peer) layersMayCome(n *news) error {
	for name, content := range n.bodies {
		l, ttl := p.layers[name], n.ttls[name]
		body, since := string(content.GetValue()), time.Since(l.sentAt)
		lives := l.taken && since < l.ttl*2/lease.PerTTL
		switch {
		case (ttl != 0) != (layerOf(content) != "nothing"):
			return fmt.Errorf("%s has %s with a TTL of %s", n.text(), name, ttl)
		case l.again:
		case body == l.refused && !mayRetry(l.at):
			return fmt.Errorf("%s has %s, which was refused", n.text(), name)
		case body == l.sent && (ttl == 0 || since < beat/2):
			return fmt.Errorf("%s has %s again after %s", n.text(), name, since)
		case !p.full() && body == l.sent && lives && !n.bare[name]:
			return fmt.Errorf("%s has %s with its content, which it has", n.text(), name)
		}
		l.sentAt, l.sent, l.ttl, l.taken, l.again = time.Now(), body, ttl, false, false
	}
	return nil
}

func (p *peer) receiveLayers(n *news, refuse bool) {
	for name, body := range n.bodies {
		n.refused = n.refused || refuse && !n.bare[name] && strings.Contains(layerOf(body), fmt.Sprint(poison))
	}
	p.processed(n)
	for name, body := range n.bodies {
		l := p.layers[name]
		switch {
		case n.lapsed:
			l.sent = "-" // it comes again, with its content
		case n.refused:
			l.refused, l.at, l.again = string(body.Value), time.Now(), len(n.bodies) > 1 && !p.full()
		default:
			l.text, l.falls, l.refused, l.taken = layerOf(body), time.Time{}, "-", true
			if ttl := n.ttls[name]; ttl > 0 {
				l.falls = time.Now().Add(ttl)
			}
		}
	}
}

// obeys returns the shares that the layers reject which the proxy has now.
func (p *peer) obeys() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(p.layers)) {
		l := p.layers[name]
		if falls := !l.falls.IsZero() && !time.Now().Before(l.falls); !falls && l.text != "nothing" {
			all = append(all, l.text)
		}
	}
	return or(strings.Join(all, " "), "nothing")
}

// receive processes the oldest response that came; refuse says what is done about poison.
func (p *peer) receive(refuse bool) error {
	if len(p.inbox) == 0 {
		return nil
	}
	n := p.inbox[0]
	p.inbox = p.inbox[1:]
	p.trace = append(p.trace, fmt.Sprintf("processes %s, refuse=%v", n.text(), refuse))
	switch n.typeURL {
	case xds.ClusterType:
		return p.receiveClusters(n, refuse)
	case xds.EndpointType:
		p.receiveEndpoints(n)
	case xds.RuntimeType:
		p.receiveLayers(n, refuse)
	case xds.ListenerType:
		p.processed(n)
		p.listener = string(n.bodies[wire.EgressName].GetValue())
		if !p.asked[xds.RouteType] {
			return p.want(xds.RouteType, []string{wire.RoutesName}, nil, nil)
		}
	case xds.RouteType:
		p.processed(n)
		rc := &routev3.RouteConfiguration{}
		if err := n.bodies[wire.RoutesName].UnmarshalTo(rc); err != nil {
			return fmt.Errorf("reading %s: %w", n.text(), err)
		}
		if p.routes = string(n.bodies[wire.RoutesName].Value); rc.Vhds == nil {
			return p.receiveRoutes(n, rc.VirtualHosts)
		}
		return p.wantHosts()
	case xds.VirtualHostType:
		return p.receiveHosts(n)
	}
	return nil
}

// receiveHosts takes all virtual hosts of a response.
func (p *peer) receiveHosts(n *news) error {
	p.processed(n)
	maps.Copy(p.hosts, n.bodies)
	for _, name := range n.removed {
		delete(p.hosts, name)
	}
	var table []*routev3.VirtualHost
	owners := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(p.hosts)) {
		vh := &routev3.VirtualHost{}
		if err := p.hosts[name].UnmarshalTo(vh); err != nil {
			return fmt.Errorf("reading %s: %w", n.text(), err)
		}
		for _, host := range vh.Domains {
			if owners[host] != "" {
				return fmt.Errorf("%s: the host %s has virtual hosts %s and %s", n.text(), host, owners[host], name)
			}
			owners[host] = name
		}
		table = append(table, vh)
	}
	return p.receiveRoutes(n, table)
}

// receiveRoutes uses new virtual hosts.
func (p *peer) receiveRoutes(n *news, table []*routev3.VirtualHost) error {
	if err := p.fallbacksHold(ledBy(table)); err != nil {
		return fmt.Errorf("%s: %w", n.text(), err)
	}
	for _, name := range p.routed {
		p.unrouted[name] = time.Now()
	}
	p.table, p.routed = table, nil
	for _, vh := range table {
		for _, r := range vh.Routes {
			if c := r.GetRoute().GetCluster(); c != "" {
				p.routed = append(p.routed, c)
			}
		}
	}
	return nil
}

// fallbacksHold demands of routes that come that every host which they begin to send calls to was there already, and for
// long enough that all workers know it. The server does not know the routes that the proxy has from an earlier stream.
func (p *peer) fallbacksHold(led []string) error {
	fresh := p.earlier || p.table == nil
	before := p.led
	p.led, p.earlier = led, false
	if fresh {
		return nil
	}
	for _, line := range led {
		_, to, falls := strings.Cut(line, ">")
		heads := func(line string) bool { return strings.HasSuffix(line, ">"+to) }
		leads := func(line string) bool { return line == to || strings.HasPrefix(line, to+">") }
		if !falls || slices.ContainsFunc(before, heads) {
			continue
		}
		if since := time.Since(p.ledSince); !slices.ContainsFunc(before, leads) || since < plan.WorkersLate {
			return fmt.Errorf("calls are taken over by %q, %s after routes to %q", to, since, before)
		}
	}
	return nil
}

func (p *peer) receiveClusters(n *news, refuse bool) error {
	clusters, poisoned := map[string]content{}, false
	for name, body := range n.bodies {
		c := &clusterv3.Cluster{}
		if err := body.UnmarshalTo(c); err != nil {
			return fmt.Errorf("reading %s: %w", n.text(), err)
		}
		clusters[name] = content{body: string(body.Value), eds: c.GetType() == clusterv3.Cluster_EDS}
		poisoned = poisoned || c.CircuitBreakers.Thresholds[0].MaxConnections.GetValue() == poison
	}
	n.refused = refuse && poisoned
	p.processed(n)
	if n.refused {
		for name, c := range clusters {
			p.denied[name] = denial{body: c.body, nonce: n.nonce, at: time.Now(), again: len(clusters) > 1 && !p.full()}
		}
		p.deniedAt = time.Now()
		return nil
	}
	before := p.edsNames()
	for name, c := range clusters {
		if p.newest[name] == c {
			continue // Envoy does nothing about a cluster that it has
		}
		p.newest[name], p.warming[name] = c, true
		if !c.eds {
			p.warm(name)
		}
	}
	for name := range p.newest {
		if _, stays := clusters[name]; p.full() && !stays {
			n.removed = append(n.removed, name)
		}
	}
	for _, name := range n.removed {
		if since := time.Since(p.unrouted[name]); since < xds.RouteToHost && !p.stranger {
			return fmt.Errorf("cluster %q goes %s after its last route", name, since)
		}
		delete(p.newest, name)
		delete(p.active, name)
		delete(p.warming, name)
	}
	p.resolve(n.removed)
	return p.subscribeEndpoints(before)
}

// subscribeEndpoints subscribes to the endpoints of new clusters, and unsubscribes from the endpoints of old ones. It says
// nothing about a cluster that changed.
func (p *peer) subscribeEndpoints(before []string) error {
	now := p.edsNames()
	var add, drop []string
	for _, name := range now {
		if !slices.Contains(before, name) {
			add = append(add, name)
		}
	}
	for _, name := range before {
		if !slices.Contains(now, name) {
			drop = append(drop, name)
			delete(p.endpoints, name)
		}
	}
	if len(add)+len(drop) == 0 {
		return nil
	}
	return p.want(xds.EndpointType, now, add, drop)
}

func (p *peer) receiveEndpoints(n *news) {
	for name, body := range n.bodies {
		if !p.newest[name].eds {
			delete(n.versions, name) // given up meanwhile, and so not kept
			continue
		}
		p.endpoints[name] = string(body.Value)
		p.warm(name)
	}
	p.processed(n)
	for _, name := range n.removed {
		p.warm(name) // that there are none is an answer as well
	}
}

// warm puts the newest cluster of a name into use.
func (p *peer) warm(name string) {
	if p.warming[name] {
		p.active[name] = p.newest[name]
		delete(p.warming, name)
	}
}

// resolve ends refusals, of resources taken or gone.
func (p *peer) resolve(names []string) {
	for _, name := range names {
		d, ok := p.denied[name]
		delete(p.denied, name)
		for other, o := range p.denied {
			if ok && o.nonce != "" && o.nonce == d.nonce {
				p.denied[other] = denial{body: o.body, again: true}
			}
		}
	}
}

// reply answers the response of a type that was processed, if there is one. An answer
// about clusters has to wait until they have endpoints.
func (p *peer) reply(typeURL string, now xds.Resources) (bool, error) {
	n := p.open[typeURL]
	if n == nil || slices.Contains(p.inbox, n) {
		return false, nil
	}
	if typeURL == xds.ClusterType {
		for name := range p.warming {
			// SotW cannot say that there are none; initial_fetch_timeout ends the wait.
			if p.full() && !has(now[xds.EndpointType], name) {
				p.warm(name)
			}
		}
		if len(p.warming) > 0 {
			return false, nil
		}
		if !n.refused {
			p.resolve(slices.Collect(maps.Keys(n.bodies)))
		}
	}
	if typeURL == xds.RouteType && p.full() || typeURL == xds.VirtualHostType {
		p.ledSince = time.Now()
	}
	delete(p.open, typeURL)
	p.trace = append(p.trace, fmt.Sprintf("answers %s, refused=%v", n.text(), n.refused))
	return true, p.answer(n)
}

func has(rs *xds.List, name string) bool { return rs.Find(name) != nil }

// routesHold demands that routes lead to clusters that are there, or were refused.
func (p *peer) routesHold() error {
	for _, name := range p.routed {
		_, active := p.active[name]
		_, denied := p.denied[name]
		if !active && !denied && !p.stranger {
			return fmt.Errorf("the proxy has a route to %q and no such cluster", name)
		}
	}
	return nil
}

// settle processes and answers everything, also what waits for calls; then the proxy must
// have what there is.
func (p *peer) settle(refuse bool, look func() (xds.Resources, error)) error {
	for moved, waited := true, false; moved || !waited; {
		if waited = !moved; waited {
			wait(beat / 2)
		}
		if err := p.collect(); err != nil {
			return err
		}
		moved = len(p.inbox) > 0
		if err := p.receive(refuse); err != nil {
			return err
		}
		if err := p.routesHold(); err != nil {
			return err
		}
		for _, typeURL := range xds.Types {
			now, err := look()
			if err != nil {
				return err
			}
			answered, err := p.reply(typeURL, now)
			if err != nil {
				return err
			}
			moved = moved || answered
		}
	}
	if len(p.open) > 0 {
		return fmt.Errorf("the proxy waits for endpoints of %v", slices.Sorted(maps.Keys(p.warming)))
	}
	p.stranger = false
	now, err := look()
	if now == nil || err != nil {
		return err
	}
	return errors.Join(p.hasClusters(now), p.hasRest(now), p.hasLayers(now), p.routesHold())
}

func (p *peer) hasClusters(now xds.Resources) error {
	refused := false
	for _, r := range now[xds.ClusterType].All() {
		body := string(r.Value())
		if d, ok := p.denied[r.Name]; ok && d.body == body && !d.again {
			refused = true
			continue
		}
		c, ok := p.active[r.Name]
		if !ok || c.body != body {
			return fmt.Errorf("the proxy lacks cluster %q as it is now, and has not refused it", r.Name)
		}
		for _, e := range now[xds.EndpointType].All() {
			if e.Name == r.Name && p.endpoints[r.Name] != string(e.Value()) {
				return fmt.Errorf("the proxy lacks the endpoints of %q as they are now", r.Name)
			}
		}
	}
	for name := range p.active {
		// In SotW, what is refused is the removals as well.
		if !has(now[xds.ClusterType], name) && !(p.full() && refused) {
			return fmt.Errorf("the proxy has cluster %q, which is no more", name)
		}
	}
	return nil
}

// hasLayers demands the layers of now, or that one was refused.
func (p *peer) hasLayers(now xds.Resources) error {
	var want []string
	for name, l := range p.layers {
		body := now[xds.RuntimeType].Find(name).Body()
		if l.refused == string(body.Value) {
			return nil
		}
		if text := layerOf(body); text != "nothing" {
			want = append(want, text)
		}
	}
	if want := or(strings.Join(want, " "), "nothing"); p.obeys() != want {
		return fmt.Errorf("the proxy obeys %q, and should %q", p.obeys(), want)
	}
	return nil
}

// takenHosts returns the virtual hosts that came as resources.
func (p *peer) takenHosts() *xds.List {
	var all []*xds.Resource
	for name, body := range p.hosts {
		all = append(all, resource.New(name, resource.VersionOf(body.Value), body))
	}
	return new(xds.Pool).List(all)
}

func (p *peer) hasRest(now xds.Resources) error {
	if want := string(now[xds.ListenerType].All()[0].Value()); p.listener != want {
		return errors.New("the proxy's listener is not the one that is now")
	}
	hosts := now[xds.VirtualHostType]
	if p.full() {
		now[xds.RouteType] = xds.WholeRoutes(hosts)
	} else if !hosts.Same(p.takenHosts()) {
		return fmt.Errorf("the proxy has virtual hosts %q, which are not those that are now", slices.Sorted(maps.Keys(p.hosts)))
	}
	if want := string(now[xds.RouteType].All()[0].Value()); p.routes != want {
		return errors.New("the proxy's routes are not those that are now")
	}
	for name := range p.endpoints {
		if !p.newest[name].eds {
			return fmt.Errorf("the proxy has endpoints of %q, which it did not ask for", name)
		}
	}
	return nil
}

// move is one step of a history.
type move struct {
	Op  string
	Arg int
}

var moves = rapid.Custom(func(t *rapid.T) move {
	return move{
		Op: rapid.SampledFrom([]string{
			"change", "change", "replace", "receive", "receive", "receive", "receive",
			"answer", "answer", "answer", "answer", "answer", "reconnect", "settle",
			"gates", "gates", "eject", "endpoints", "wait",
		}).Draw(t, "op"),
		Arg: rapid.IntRange(0, variants*variants*variants*variants-1).Draw(t, "arg"),
	}
})

// history is a server and a proxy, and what was published.
type history struct {
	server *Server
	peer   *peer
	pool   pool
	shapes [4]int
}

func (h *history) publish(t fatal) error {
	set := h.pool.set(t, h.shapes)
	p, err := h.server.Prepare(set, endpoints.FromSet(set))
	if err != nil {
		return err
	}
	h.server.Publish(p)
	h.peer.trace = append(h.peer.trace, fmt.Sprintf("published %v", h.shapes))
	return nil
}

// look returns what there is for the proxy now; nil before the first publication.
func (h *history) look() (xds.Resources, error) {
	p := h.server.publisher.Current()
	if p == nil {
		return nil, nil
	}
	rs, err := resourcesOf(p, Node{Listen: xds.DefaultListen})
	if err != nil {
		return nil, err
	}
	rs = maps.Clone(rs)
	g := h.server.rollouts.Current()
	rs[xds.RuntimeType] = g.Parts("app-1").With(nil, []*xds.Resource{g.Whole("app-1")}, nil)
	return rs, nil
}

// publishGates publishes one of a few layers, of all proxies or of one.
func (h *history) publishGates(t *testing.T, arg int) {
	var all []gate.Gate
	if share := []uint32{0, 100, 200, poison}[arg%4]; share > 0 {
		all = append(all, openGate("a", []string{"", "app-1", "app-2"}[arg/4%3], share))
	}
	publishGates(t, h.server, time.Now(), all...)
	h.peer.trace = append(h.peer.trace, fmt.Sprintf("gates of %v", all))
}

// eject ejects an endpoint that an upstream may have, or none.
func (h *history) eject(t *testing.T, arg int) {
	name, out := []string{"a", "b", "c", "d"}[arg%4], [][]string{nil, {"10.0.0.7:80"}, {"10.0.0.7:81"}}[arg/4%3]
	eject(t, h.server, name, out...)
	h.peer.trace = append(h.peer.trace, fmt.Sprintf("ejects %v of %s", out, name))
}

// publishEndpoints publishes other endpoints of an upstream that the policy may have.
func (h *history) publishEndpoints(arg int) error {
	name := []string{"a", "b", "c", "d"}[arg%4]
	all := []policy.Endpoint{endpointAt(80), endpointAt(81), endpointAt(82)}[arg/4%3 : 3-arg/12%2]
	h.peer.trace = append(h.peer.trace, fmt.Sprintf("endpoints of %s are %v", name, all))
	return h.server.PublishEndpoints(name, all)
}

func (h *history) move(t *testing.T, m move) error {
	switch m.Op {
	case "change":
		h.shapes[m.Arg%4] = m.Arg / 4 % variants
		return h.publish(t)
	case "replace":
		for i := range h.shapes {
			h.shapes[i] = m.Arg % variants
			m.Arg /= variants
		}
		return h.publish(t)
	case "receive":
		return h.peer.receive(m.Arg%2 == 1)
	case "answer":
		now, err := h.look()
		if err == nil {
			_, err = h.peer.reply(xds.Types[m.Arg%len(xds.Types)], now)
		}
		return err
	case "gates":
		h.publishGates(t, m.Arg)
		return nil
	case "eject":
		h.eject(t, m.Arg)
		return nil
	case "endpoints":
		return h.publishEndpoints(m.Arg)
	case "wait":
		for range m.Arg % 8 {
			wait(beat / 2) // all happens at multiples of this, so that it is collected when it comes
			if err := h.peer.collect(); err != nil {
				return err
			}
		}
		return nil
	case "reconnect":
		h.peer.trace = append(h.peer.trace, "reconnects")
		return h.peer.reconnect(t, h.server)
	default:
		return h.peer.settle(m.Arg%2 == 1, h.look)
	}
}

// play runs a history to its end, in a bubble of its own.
func (h *history) play(t *testing.T, moves []move) error {
	h.peer.connect(t, h.server)
	defer func() { h.peer.disconnect() }()
	if err := h.peer.begin(); err != nil {
		return err
	}
	// In the end heartbeats have to come in time.
	for _, m := range append(moves, move{Op: "settle"}, move{"wait", 3}, move{Op: "settle"}, move{"wait", 5}, move{Op: "settle"}) {
		if err := h.move(t, m); err != nil {
			return err
		}
		if err := errors.Join(h.peer.collect(), h.peer.routesHold()); err != nil {
			return err
		}
	}
	return nil
}

var links = map[string]func() link{
	"delta": newDeltaLink,
	"sotw":  func() link { return &sotwLink{versions: map[string]string{}, want: map[string][]string{}} },
}

// converge plays a history in a bubble of its own, and returns what went wrong and
// all that happened.
func converge(t *testing.T, l link, upstreams pool, script []move, layers ...string) error {
	var failed error
	p := newPeer(l, layers...)
	synctest.Test(t, func(t *testing.T) {
		failed = (&history{server: newServer(), peer: p, pool: upstreams}).play(t, script)
	})
	if failed != nil {
		return fmt.Errorf("%w\n%s", failed, strings.Join(p.trace, "\n"))
	}
	return nil
}

// Whatever is published, and however slowly a proxy answers, refuses or comes and
// goes: it never has a route to a cluster that it lacks, is never told twice but by
// heartbeats and after pauses, ends up with what there is, and keeps it.
func TestEveryHistoryConverges(t *testing.T) {
	for protocol, newLink := range links {
		// rapid makes 100 histories each time.
		for round, layers := range [][]string{parts(), {wire.RuntimeLayer}, parts()} {
			if protocol == "sotw" {
				layers = []string{wire.RuntimeLayer} // see TestPartsNeedDelta
			}
			t.Run(fmt.Sprintf("%s/%d", protocol, round), func(t *testing.T) {
				upstreams := pool{}
				rapid.Check(t, func(r *rapid.T) {
					script := rapid.SliceOfN(moves, 1, 80).Draw(r, "moves")
					// rapid ends a failed run by panicking, which must not be in the bubble.
					if err := converge(t, newLink(), upstreams, script, layers...); err != nil {
						r.Fatalf("%v", err)
					}
				})
			})
		}
	}
}

// Histories that are rare, in each of which a proxy once waited for endpoints until
// its initial_fetch_timeout.
func TestRareHistoriesConverge(t *testing.T) {
	tests := map[string][]move{
		"found by DNS before it is asked for": {{"change", 0}, {"change", 4 * 12}},
		"changed, then found by DNS, while other endpoints are on their way": {
			{"change", 0}, {"settle", 0}, {"change", 4 * 6}, {"change", 4 * 1}, {"change", 4 * 12},
		},
		"told that there are none, then changed, then found by DNS": {
			{"change", 0}, {"change", 4 * 18}, {"receive", 0}, {"reconnect", 0}, {"change", 4 * 1}, {"change", 4 * 12},
		},
		"refused, then said again with a removal": {
			{"replace", 14 + variants*1}, {"replace", 18 + variants*9}, {"receive", 0}, {"settle", 1},
		},
		"changed and refused, then said again with another change": {
			{"replace", 12}, {"settle", 0}, {"replace", 29}, {"change", 4 * 16}, {"receive", 1},
		},
	}
	for protocol, newLink := range links {
		for name, script := range tests {
			t.Run(protocol+"/"+name, func(t *testing.T) {
				if err := converge(t, newLink(), pool{}, script, wire.RuntimeLayer); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
