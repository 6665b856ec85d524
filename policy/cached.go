package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"breakwater.dev/breaker"
	"breakwater.dev/policy/internal/yamlwalk"
)

// cachedPath is where a policy asks proxies to keep copies of responses.
const cachedPath = "spec.fallback.cached"

// Limits on copies of responses.
const (
	maxCachedBody  = 1 << 20
	maxCachedBytes = 256 << 20
	maxCachedCount = 100_000
)

// readCached reads which copies proxies keep. Fields that are not written keep what a less specific policy
// has, or else their defaults.
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

// AllHeaders, in [Cached.KeyHeaders], means every request header apart from [IrrelevantHeaders].
const AllHeaders = "*"

// maxKeyHeaders bounds the work that a policy can give a proxy for each request.
const maxKeyHeaders = 32

// irrelevantHeaders are the request headers that never decide which copy answers a request: a service
// gives the same response whatever they say. No header that could name a user, a tenant, a place or a
// preference is among them. So baggage is not, since applications put their own values into it (W3C
// Baggage, section 4); nor are x-forwarded-for, -host and -proto, which name a client and appear in
// links; nor is user-agent. Headers that begin with steeringHeaders need not be among them, since the
// proxy removes them.
var irrelevantHeaders = []string{
	// Headers for tracing: W3C, B3, Datadog, AWS, Google, Jaeger, OpenTracing, Sentry, Elastic, New Relic, Microsoft.
	"traceparent", "tracestate",
	"b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags",
	"x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority", "x-datadog-origin", "x-datadog-tags",
	"x-amzn-trace-id", "x-cloud-trace-context", "grpc-trace-bin", "uber-trace-id",
	"x-ot-span-context", "ot-tracer-traceid", "ot-tracer-spanid", "ot-tracer-sampled",
	"sentry-trace", "elastic-apm-traceparent", "newrelic", "request-id",
	"x-request-id", "x-correlation-id", "x-client-trace-id",
	// Headers that end at the next hop (RFC 9110 section 7.6.1), or that frame a message.
	"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length",
}

// steeringHeaders is the prefix of the headers that the proxy removes from every request.
const steeringHeaders = "x-envoy-"

// credentialHeaders are the headers that carry credentials. No copy is kept of a response to a request that
// has one of them, unless withCredentials is set: then they are always compared.
var credentialHeaders = []string{"authorization", "cookie", "proxy-authorization"}

// IrrelevantHeaders returns the request headers, in lower case, that never decide which copy of a [Cached]
// answers a request.
func IrrelevantHeaders() []string { return slices.Clone(irrelevantHeaders) }

// readKeyHeaders reads which request headers must be equal for a copy to answer.
func readKeyHeaders(dst *[]string) yamlwalk.Field {
	return func(v yamlwalk.Value) {
		names := []string{}
		n := v.Each(func(v yamlwalk.Value) {
			text, ok := v.String("the name of a request header, or *")
			name := strings.ToLower(text)
			switch {
			case !ok:
			case name != AllHeaders && !headerName.MatchString(name):
				v.Fail("the name of a request header, or *", "bad-header")
			case slices.Contains(names, name):
				v.Fail("given once: case makes no difference", "duplicate-field")
			case slices.Contains(irrelevantHeaders, name):
				v.Fail("another header: this one never tells requests apart for a copy", "no-effect")
			case name == "host":
				v.Fail("another header: a copy is always of the same method, host and path", "no-effect")
			case strings.HasPrefix(name, steeringHeaders):
				v.Fail("another header: the proxy takes "+steeringHeaders+" headers out of every request", "no-effect")
			case name == "range":
				v.Fail("another header: no copy answers a request with a range", "no-effect")
			default:
				names = append(names, name)
			}
		})
		if n > maxKeyHeaders {
			v.FailAs(fmt.Sprintf("%d headers", n), fmt.Sprintf("at most %d", maxKeyHeaders), "out-of-range")
		}
		if slices.Contains(names, AllHeaders) && n > 1 {
			v.FailAs("* beside others", "[\"*\"], which is all headers, or names", "contradiction")
		}
		if n >= 0 {
			slices.Sort(names)
			*dst = names
		}
	}
}

// checkCopies reports contradictions in the rules for copies, as all policies together have them. The most
// specific policy that wrote a part is to blame, since its author could know the rest.
func (fs *findings) checkCopies(s *settings) {
	const (
		all, one      = cachedPath + ".maxBytes", cachedPath + ".maxBodyBytes"
		keys, private = cachedPath + ".keyHeaders", cachedPath + ".withCredentials"
	)
	copies := s.fallback.cached
	if copies.MaxBodyBytes > copies.MaxBytes {
		at, want := s.places.newest(all, one), "at least maxBodyBytes: it bounds all copies together"
		if at.Path() == one {
			want = "at most maxBytes, which bounds all copies together"
		}
		fs.fail(at, want, "contradiction")
	}
	if copies.WithCredentials {
		return
	}
	for _, name := range copies.KeyHeaders {
		if !slices.Contains(credentialHeaders, name) {
			continue
		}
		if at := s.places.newest(keys, private); at.Path() == private {
			fs.fail(at, fmt.Sprintf("true, or beside keyHeaders without %s: no request that has this header has a copy", name), "no-effect")
		} else {
			fs.failAs(at, name, "beside withCredentials: true, without which no request that has this header has a copy", "no-effect")
		}
	}
}

// checkCached reports a cached fallback that cannot work: for gRPC, or for a route without GET requests. A
// policy for the whole mesh may have one all the same, since it fits other upstreams.
func (fs *findings) checkCached(u *upstreamDoc, s *settings, route string) {
	if s.fallback.cached == nil || u.Protocol == TCP {
		return
	}
	at := s.places[cachedPath]
	if u.Protocol != GRPC {
		fs.checkCopies(s)
	}
	if s.meshWide(at) {
		return
	}
	if u.Protocol == GRPC {
		fs.fail(at, fmt.Sprintf("response or upstream: upstream %s speaks GRPC, whose calls are no GET requests", u.Name), "not-for-grpc")
	}
	for _, r := range u.Routes {
		if m := r.Match.Methods; r.Name == route && len(m) > 0 && !slices.Contains(m, "GET") {
			fs.fail(at, fmt.Sprintf("response or upstream: route %s takes no GET requests, and only their responses are kept", route), "no-effect")
		}
	}
}
