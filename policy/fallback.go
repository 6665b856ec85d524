package policy

import (
	"mime"
	"regexp"
	"slices"
	"strings"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy/internal/yamlwalk"
)

// maxBody bounds what a proxy has to keep for each breaker.
const maxBody = 64 << 10

// fallback is what rejected callers get, as policies write it.
type fallback struct {
	status      uint32
	contentType string
	body        string
	headers     []Header
	upstream    string  // empty: none
	cached      *Cached // nil: nothing is
}

// readFallback reads the one way there is. A way that a less specific policy has gives way
// to it, but for its response, with which a proxy answers what it has no copy of.
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

// Limits on copies of responses.
const (
	maxCachedBody  = 1 << 20
	maxCachedBytes = 256 << 20
	maxCachedCount = 100_000
)

func (f *fallback) readCached(v yamlwalk.Value) {
	c := Cached{TTL: time.Minute, MaxEntries: 1000, MaxBodyBytes: 64 << 10, MaxBytes: 16 << 20, KeyHeaders: []string{AllHeaders}}
	if f.cached != nil {
		c = *f.cached
	}
	if v.Object(yamlwalk.Fields{
		"ttl":             yamlwalk.Duration(&c.TTL, time.Second, breaker.MaxDuration),
		"maxEntries":      yamlwalk.Integer(&c.MaxEntries, 1, maxCachedCount),
		"maxBodyBytes":    yamlwalk.Size(&c.MaxBodyBytes, maxCachedBody),
		"maxBytes":        yamlwalk.Size(&c.MaxBytes, maxCachedBytes),
		"withCredentials": yamlwalk.Bool(&c.WithCredentials),
		"keyHeaders":      readKeyHeaders(&c.KeyHeaders),
	}) {
		f.cached = &c
	}
}

func (f *fallback) fields() yamlwalk.Fields {
	return yamlwalk.Fields{
		// Envoy's direct_response takes 200 to 599.
		"status": yamlwalk.Integer(&f.status, 200, 599),
		"contentType": yamlwalk.Text(&f.contentType, "a media type such as application/json", "bad-media-type", func(s string) bool {
			kind, _, err := mime.ParseMediaType(s)
			return err == nil && strings.Contains(kind, "/") && headerValue.MatchString(s)
		}),
		"body":    yamlwalk.Text(&f.body, "text of at most 65536 bytes", "out-of-range", func(s string) bool { return len(s) <= maxBody }),
		"headers": f.readHeaders,
	}
}

var (
	headerName  = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9a-z]{1,256}$")
	headerValue = regexp.MustCompile(`^([!-~]([ -~]{0,998}[!-~])?)?$`)
)

// reservedHeaders frame a message or end at the next hop (RFC 9110 section 7.6.1), or
// have a field of their own.
var reservedHeaders = []string{
	"connection", "content-length", "content-type", "host", "keep-alive", "proxy-authenticate",
	"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

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

// resolvedFallback is what a rejected caller of an upstream gets. The upstream that takes
// over is resolved when all are known.
func (s *settings) resolvedFallback(u *upstreamDoc) Fallback {
	f := s.fallback
	r := Response{Status: int(f.status), ContentType: f.contentType, Body: f.body, Headers: f.headers}
	if !s.places.wrote("spec.fallback.response.body") && !bodiless(f.status) {
		r.Body = u.Name + " is unavailable: its circuit breaker is open\n"
	}
	out := Fallback{Response: r}
	if f.cached != nil && u.Protocol != GRPC && u.Protocol != TCP {
		cached := *f.cached
		out.Cached = &cached
	}
	return out
}

// bodiless tells whether a response of that status has no body (RFC 9110 sections 15.3.5, 15.3.6, 15.4.5).
func bodiless(status uint32) bool { return status == 204 || status == 205 || status == 304 }
