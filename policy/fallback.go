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

// fallback is the answer to a rejected caller as policies write it.
type fallback struct {
	status      uint32
	contentType string
	body        string
	headers     []Header
}

func (s *settings) readFallback(v yamlwalk.Value) {
	cached := &s.later.cached
	isObject := v.Object(yamlwalk.Fields{
		"response": func(v yamlwalk.Value) { v.Object(s.fallback.fields()) },
		"upstream": name(&s.later.fallbackUpstream),
		"cached": func(v yamlwalk.Value) {
			v.Object(yamlwalk.Fields{
				"ttl":          yamlwalk.Duration(&cached.ttl, time.Second, breaker.MaxDuration),
				"maxEntries":   yamlwalk.Integer(&cached.maxEntries, 1, breaker.MaxCount),
				"maxBodyBytes": yamlwalk.Size(&cached.maxBodyBytes, 64<<20),
			})
		},
	})
	given := 0
	for _, name := range []string{"response", "upstream", "cached"} {
		if v.Has(name) {
			given++
		}
	}
	if isObject && given > 1 {
		v.FailAs("several fallbacks", "one of response, upstream, cached", "exclusive-fields")
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

// response is what a rejected caller of an upstream gets.
func (s *settings) response(upstream string) Response {
	f := s.fallback
	r := Response{Status: int(f.status), ContentType: f.contentType, Body: f.body, Headers: f.headers}
	if !s.places.wrote("spec.fallback.response.body") && !bodiless(f.status) {
		r.Body = upstream + " is unavailable: its circuit breaker is open\n"
	}
	return r
}

// bodiless tells whether a response of that status has no body (RFC 9110 sections 15.3.5, 15.3.6, 15.4.5).
func bodiless(status uint32) bool { return status == 204 || status == 205 || status == 304 }
