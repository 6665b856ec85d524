package protocol

import (
	"maps"
	"slices"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"breakwater.dev/xds"
)

// naive is a delta subscription that looks at everything each time, in maps of its own. It says what [Subscription] must say.
type naive struct {
	typeURL   string
	begun     bool
	wildcard  bool
	names     map[string]bool
	sent      map[string]*xds.Resource // nil: the proxy knows that there is none
	unused    map[string]time.Time
	again     map[string]bool
	doubts    [][]string
	trying    bool // the last response is the first of the doubts
	unsure    map[string]bool
	refused   map[string]refusal
	responded bool
	pending   bool
	flight    []string
	nonce     string
}

func newNaive(typeURL string) *naive {
	return &naive{
		typeURL: typeURL, names: map[string]bool{}, sent: map[string]*xds.Resource{}, unused: map[string]time.Time{},
		again: map[string]bool{}, refused: map[string]refusal{}, unsure: map[string]bool{},
	}
}

func (n *naive) wants(name string) bool { return n.wildcard || n.names[name] }

// answer takes a request's answer. The refusals that it leads to are the ones of the subscription that it is compared with:
// pauses are drawn at random.
func (n *naive) answer(m *discoveryv3.DeltaDiscoveryRequest) {
	if !n.pending || m.GetResponseNonce() != n.nonce {
		return
	}
	n.pending = false
	if n.trying {
		n.doubts = n.doubts[1:]
	}
	for i := range n.doubts {
		n.doubts[i] = slices.DeleteFunc(slices.Clone(n.doubts[i]), func(name string) bool { return slices.Contains(n.flight, name) })
	}
	n.doubts = slices.DeleteFunc(n.doubts, func(names []string) bool { return len(names) == 0 })
	if half := len(n.flight) / 2; m.GetErrorDetail() == nil {
		n.resolve(n.flight)
	} else if half > 0 {
		n.doubts = append([][]string{n.flight[:half], n.flight[half:]}, n.doubts...)
	}
}

func (n *naive) apply(m *discoveryv3.DeltaDiscoveryRequest) {
	first := !n.begun
	n.begun = true
	if first {
		n.wildcard = len(m.GetResourceNamesSubscribe()) == 0
	}
	for _, name := range m.GetResourceNamesSubscribe() {
		if n.names[name] = true; !first {
			delete(n.sent, name)
			delete(n.again, name)
		}
	}
	for _, name := range m.GetResourceNamesUnsubscribe() {
		delete(n.names, name)
	}
	if first {
		for name, version := range m.GetInitialResourceVersions() {
			n.sent[name] = &xds.Resource{Name: name, Version: version}
		}
	}
	if !first && len(m.GetResourceNamesUnsubscribe()) == 0 {
		return
	}
	for name := range n.refused {
		if !n.wants(name) {
			delete(n.refused, name)
		}
	}
	for name, r := range n.sent {
		if !n.wants(name) || r == nil && !n.names[name] {
			delete(n.sent, name)
			delete(n.again, name)
			delete(n.refused, name)
		}
	}
}

func (n *naive) sendAgain(name string) {
	if !n.names[name] {
		return
	}
	if n.sent[name] == nil {
		delete(n.sent, name)
		return
	}
	n.again[name] = true
}

func (n *naive) resolve(names []string) {
	for _, name := range names {
		delete(n.refused, name)
	}
}

// recognise notes the content of what the proxy has from an earlier stream, if that is all that it wants.
func (n *naive) recognise(resources []*xds.Resource) {
	has := 0
	for _, r := range n.sent {
		if r != nil {
			has++
		}
	}
	var want []*xds.Resource
	for _, r := range resources {
		if n.wants(r.Name) {
			want = append(want, r)
		}
	}
	if len(want) != has || slices.ContainsFunc(want, func(r *xds.Resource) bool { return n.sent[r.Name] == nil || n.sent[r.Name].Version != r.Version }) {
		return
	}
	for _, r := range want {
		n.sent[r.Name] = r
	}
}

// surplus returns the names that the proxy was sent and that are not among the resources.
func (n *naive) surplus(resources []*xds.Resource) []string {
	var gone []string
	for name, had := range n.sent {
		if had != nil && !slices.ContainsFunc(resources, func(r *xds.Resource) bool { return r.Name == name }) {
			gone = append(gone, name)
		}
	}
	return gone
}

func (n *naive) markUnused(resources []*xds.Resource, now time.Time, keep time.Duration) (next time.Duration) {
	n.recognise(resources)
	unused := map[string]time.Time{}
	for _, name := range n.surplus(resources) {
		since, known := n.unused[name]
		if !known {
			since = now
		}
		unused[name] = since
		if wait := keep - now.Sub(since); wait > 0 && (next == 0 || wait < next) {
			next = wait
		}
	}
	n.unused = unused
	return next
}

func (n *naive) markUsed(resources []*xds.Resource) {
	for _, r := range resources {
		delete(n.unused, r.Name)
	}
}

// doubtful returns the first doubts that have not changed since. The others are sent as changes, also if they change back.
func (n *naive) doubtful(resources []*xds.Resource) (add []string) {
	there := map[string]string{} // versions
	for _, r := range resources {
		if n.wants(r.Name) {
			there[r.Name] = r.Version
		}
	}
	for name := range n.unsure {
		if n.sent[name] == nil {
			delete(n.unsure, name)
		} else if there[name] != "" {
			delete(n.unsure, name)
			n.again[name] = true
		}
	}
	for ; len(n.doubts) > 0; n.doubts = n.doubts[1:] {
		for _, name := range n.doubts[0] {
			switch had := n.sent[name]; {
			case had == nil:
			case there[name] == "":
				n.unsure[name] = true
			case there[name] == had.Version:
				add = append(add, name)
			default:
				n.again[name] = true
			}
		}
		if len(add) > 0 {
			slices.Sort(add)
			return add
		}
	}
	return nil
}

// respond returns what the next response adds and removes, sorted. Nothing is sent if sends is false.
func (n *naive) respond(nonce string, resources []*xds.Resource, removals Removals) (add, gone []string, sends bool) {
	n.recognise(resources)
	if add = n.doubtful(resources); len(add) > 0 {
		n.trying = true
		n.pending, n.responded, n.nonce, n.flight = true, true, nonce, add
		for _, name := range add {
			delete(n.again, name)
		}
		return add, nil, true
	}
	versions := map[string]*xds.Resource{}
	for _, r := range resources {
		versions[r.Name] = r
		if had := n.sent[r.Name]; n.wants(r.Name) && (had == nil || had.Version != r.Version || n.again[r.Name]) {
			add = append(add, r.Name)
		}
	}
	for name := range n.names {
		if _, sent := n.sent[name]; !sent && versions[name] == nil {
			gone = append(gone, name)
		}
	}
	for _, name := range n.surplus(resources) {
		since, unused := n.unused[name]
		awaited := n.again[name] && n.names[name]
		switch {
		case removals.all || unused && !since.After(removals.unusedSince) || awaited && n.sent[name].IsClaimed():
			gone = append(gone, name)
		case awaited:
			add, versions[name] = append(add, name), n.sent[name]
		}
	}
	if len(add)+len(gone) == 0 && (n.responded || len(n.sent) > 0) {
		return nil, nil, false
	}
	slices.Sort(add)
	slices.Sort(gone)
	n.trying = false
	n.pending, n.responded, n.nonce, n.flight = true, true, nonce, add
	for _, name := range add {
		n.sent[name] = versions[name]
		delete(n.again, name)
	}
	n.resolve(gone)
	for _, name := range gone {
		delete(n.again, name)
		if delete(n.sent, name); n.names[name] {
			n.sent[name] = nil
		}
	}
	n.recognise(resources)
	return add, gone, true
}

// takeRefusals has n refuse what another subscription refuses.
func (n *naive) takeRefusals(s *Subscription) { n.refused = maps.Clone(s.refused) }
