package policy

import (
	"fmt"
	"mime"
	"regexp"
	"slices"
	"strings"

	"breakwater.dev/policy/internal/yamlwalk"
)

// MaxBody is the longest body of a response, in bytes. A proxy keeps one for each breaker.
const MaxBody = 64 << 10

// fallback answers rejected calls, as policies write it.
type fallback struct {
	status      uint32
	contentType string
	body        string
	headers     []Header
	upstream    string  // empty: none
	cached      *Cached // nil: none
}

// readFallback reads a fallback, which replaces the fallback of a less specific policy. Only the response of
// the less specific policy stays beside a cached fallback: a proxy answers with it where it has no copy.
func (s *settings) readFallback(v yamlwalk.Value) {
	f := &s.fallback
	isObject := v.Object(yamlwalk.Fields{
		"response": func(v yamlwalk.Value) { v.Object(f.fields()) },
		"upstream": name(&f.upstream),
		"cached":   f.readCached,
	})
	if !isObject {
		return
	}
	switch upstream, cached := v.Has("upstream"), v.Has("cached"); {
	case upstream && (cached || v.Has("response")):
		v.FailAs("several fallbacks", "upstream alone, or response, or cached with or without a response", "exclusive-fields")
	case upstream:
		f.cached = nil
	case cached:
		f.upstream = ""
	case v.Has("response"):
		f.upstream, f.cached = "", nil
	}
}

// fields are the fields of the response.
func (f *fallback) fields() yamlwalk.Fields {
	return yamlwalk.Fields{
		// Envoy's direct_response takes 200 to 599.
		"status": yamlwalk.Integer(&f.status, 200, 599),
		"contentType": yamlwalk.Text(&f.contentType, "a media type such as application/json", "bad-media-type", func(s string) bool {
			kind, _, err := mime.ParseMediaType(s)
			return err == nil && strings.Contains(kind, "/") && headerValue.MatchString(s)
		}),
		"body":    yamlwalk.Text(&f.body, "text of at most 65536 bytes", "out-of-range", func(s string) bool { return len(s) <= MaxBody }),
		"headers": f.readHeaders,
	}
}

var (
	headerName  = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9a-z]{1,256}$")
	headerValue = regexp.MustCompile(`^([!-~]([ -~]{0,998}[!-~])?)?$`)
)

// reservedHeaders are response headers that no policy can set. They frame a message or end at the next hop
// (RFC 9110 section 7.6.1), or the policy has a field for them.
var reservedHeaders = []string{
	"connection", "content-length", "content-type", "host", "keep-alive", "proxy-authenticate",
	"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

// readHeaders reads the headers of the response, and sorts them.
func (f *fallback) readHeaders(v yamlwalk.Value) {
	var headers []Header
	v.Entries(func(name string, key, value yamlwalk.Value) {
		h := Header{Name: strings.ToLower(name)}
		same := func(other Header) bool { return other.Name == h.Name }
		switch {
		case !headerName.MatchString(h.Name):
			key.Fail("the name of a header", "bad-header")
		case slices.Contains(reservedHeaders, h.Name):
			key.Fail("another header: this one is the proxy's to set", "bad-header")
		case slices.ContainsFunc(headers, same):
			key.Fail("given once: case makes no difference", "duplicate-field")
		default:
			yamlwalk.Text(&h.Value, "a value of at most 1000 printable ASCII characters without spaces at the ends", "bad-header", headerValue.MatchString)(value)
			headers = append(headers, h)
		}
	})
	slices.SortFunc(headers, func(a, b Header) int { return strings.Compare(a.Name, b.Name) })
	f.headers = headers
}

// resolvedFallback returns the fallback of an upstream's calls. Its upstream is added by resolveFallbacks,
// when all upstreams are known.
func (s *settings) resolvedFallback(u *upstreamDoc) Fallback {
	f := s.fallback
	r := Response{Status: int(f.status), ContentType: f.contentType, Body: f.body, Headers: f.headers}
	if !s.places.wrote("spec.fallback.response.body") && !bodiless(f.status) {
		r.Body = "the circuit breaker of " + u.Name + " is open\n"
	}
	out := Fallback{Response: r}
	if f.cached != nil && u.Protocol != GRPC && u.Protocol != TCP {
		cached := *f.cached
		out.Cached = &cached
	}
	return out
}

// bodiless reports whether a response with a status has no body (RFC 9110 sections 15.3.5, 15.3.6, 15.4.5).
func bodiless(status uint32) bool { return status == 204 || status == 205 || status == 304 }

// fallbackPath is where a policy names its fallback upstream.
const fallbackPath = "spec.fallback.upstream"

// fallbackRef is the fallback upstream of one breaker, by its name.
type fallbackRef struct {
	from    *upstreamDoc
	to      string
	at      place
	breaker *Breaker
}

// linkFallback remembers the fallback upstream of a breaker, if it has one, until all upstreams are known.
// Breakers of protocol TCP have none, even if the policy for the whole mesh names one.
func (m *merger) linkFallback(u *upstreamDoc, s *settings, b *Breaker) {
	if u.Protocol != TCP && s.fallback.upstream != "" {
		m.fallbacks = append(m.fallbacks, fallbackRef{from: u, to: s.fallback.upstream, at: s.places[fallbackPath], breaker: b})
	}
}

// resolveFallbacks gives breakers their fallback upstreams, and reports the ones that cannot be. A
// breaker without its fallback upstream answers rejected calls with its response.
func (c *compilation) resolveFallbacks() {
	next := map[string][]string{}
	for _, out := range c.outcomes {
		for _, f := range out.fallbacks {
			next[f.from.Name] = append(next[f.from.Name], f.to)
		}
	}
	if len(next) == 0 {
		return
	}
	upstreams := make(map[string]*upstreamDoc, len(c.upstreams))
	for _, r := range slices.Backward(c.upstreams) {
		upstreams[r.upstream.Name] = r.upstream // the first of two with one name
	}
	for _, out := range c.outcomes {
		var links []*FallbackUpstream
		for i := range out.fallbacks {
			f := &out.fallbacks[i]
			links = append(links, c.resolveFallback(f, upstreams[f.to], next))
		}
		out.link(links)
	}
}

// resolveFallback returns the fallback upstream of a breaker, or nil if it cannot be. to is nil if no upstream has
// the name.
func (c *compilation) resolveFallback(f *fallbackRef, to *upstreamDoc, next map[string][]string) *FallbackUpstream {
	if to == nil && (c.complete || c.each) {
		c.fail(f.at, c.wantUpstream(f.to), "unknown-target")
	}
	if to == nil || to.broken {
		return nil
	}
	host, problem := f.reaches(to)
	ring := ring(next, f.from.Name, f.to)
	switch {
	case f.to == f.from.Name:
		c.fail(f.at, fmt.Sprintf("another upstream: upstream %s cannot take over from itself", f.to), "fallback-ring")
	case ring != nil:
		c.fail(f.at, "an upstream whose own fallbacks do not lead back: "+strings.Join(ring, " -> "), "fallback-ring")
	case problem != "":
		c.fail(f.at, problem, "fallback-mismatch")
	default:
		return &FallbackUpstream{Name: to.Name, Host: host}
	}
	return nil
}

// reaches returns the host by which calls reach the fallback upstream, or why they cannot.
func (f *fallbackRef) reaches(to *upstreamDoc) (host, problem string) {
	if to.Protocol == TCP || (to.Protocol == GRPC) != (f.from.Protocol == GRPC) {
		return "", fmt.Sprintf("an upstream that understands the calls of upstream %s, whose protocol is %s: that of %s is %s",
			f.from.Name, f.from.Protocol, to.Name, to.Protocol)
	}
	host = to.Authority()
	if host == "" {
		return "", fmt.Sprintf("an upstream with a host that has no *: calls reach upstream %s by one of its hosts", to.Name)
	}
	return host, ""
}

// ring returns the way from an upstream over its fallback upstream back to itself; nil: there is none.
func ring(next map[string][]string, from, to string) []string {
	if to != from && len(next[to]) == 0 {
		return nil // as nearly always
	}
	seen := map[string]bool{}
	var walk func(at string, way []string) []string
	walk = func(at string, way []string) []string {
		way = append(way, at)
		if at == from {
			return way
		}
		if seen[at] {
			return nil
		}
		seen[at] = true
		for _, n := range next[at] {
			if found := walk(n, way); found != nil {
				return found
			}
		}
		return nil
	}
	return walk(to, []string{from})
}
