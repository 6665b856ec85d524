package policy

import (
	"fmt"
	"slices"
	"strings"

	"breakwater.dev/policy/internal/yamlwalk"
)

// AllHeaders stands for every request header but the irrelevant ones in [Cached.KeyHeaders].
const AllHeaders = "*"

// maxKeyHeaders bounds what a policy can have a proxy look at for each request.
const maxKeyHeaders = 32

// irrelevantHeaders are the only request headers in which two requests may differ that one
// copy answers. A service answers the same whatever they say. Whatever could name a user,
// a tenant, a place or a wish is not among them: not baggage, which carries what
// applications put into it (W3C Baggage, section 4); not x-forwarded-for, -host and -proto,
// which name a client and what links are made of; not user-agent. Of those that begin with
// steeringHeaders no request has any.
var irrelevantHeaders = []string{
	// They only trace a call: W3C, B3, Datadog, AWS, Google, Jaeger, OpenTracing, Sentry, Elastic, New Relic, Microsoft.
	"traceparent", "tracestate",
	"b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags",
	"x-datadog-trace-id", "x-datadog-parent-id", "x-datadog-sampling-priority", "x-datadog-origin", "x-datadog-tags",
	"x-amzn-trace-id", "x-cloud-trace-context", "grpc-trace-bin", "uber-trace-id",
	"x-ot-span-context", "ot-tracer-traceid", "ot-tracer-spanid", "ot-tracer-sampled",
	"sentry-trace", "elastic-apm-traceparent", "newrelic", "request-id",
	"x-request-id", "x-correlation-id", "x-client-trace-id",
	// They end at the next hop (RFC 9110 section 7.6.1), or frame a message.
	"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length",
}

// steeringHeaders is how the names of those headers begin that the proxy takes out of every request.
const steeringHeaders = "x-envoy-"

// credentialHeaders keep a response out of the copies, or with withCredentials are always compared.
var credentialHeaders = []string{"authorization", "cookie", "proxy-authorization"}

// IrrelevantHeaders returns the request headers, in lower case, that never tell two
// requests apart for the copies of a [Cached].
func IrrelevantHeaders() []string { return slices.Clone(irrelevantHeaders) }

// readKeyHeaders reads which request headers tell copies apart.
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

// checkCopies reports what contradicts itself in the copies of responses, as all policies together have
// them. The most specific one that wrote a part of it could know the rest.
func (c *compiler) checkCopies(s *settings) {
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
		c.fail(at, want, "contradiction")
	}
	if copies.WithCredentials {
		return
	}
	for _, name := range copies.KeyHeaders {
		if !slices.Contains(credentialHeaders, name) {
			continue
		}
		if at := s.places.newest(keys, private); at.Path() == private {
			c.fail(at, fmt.Sprintf("true, or beside keyHeaders without %s: no request that has this header has a copy", name), "no-effect")
		} else {
			c.failAs(at, name, "beside withCredentials: true, without which no request that has this header has a copy", "no-effect")
		}
	}
}

// Notes say what is right in a set and may surprise: a line each, with its place.
func (s *Set) Notes() []string {
	notes := slices.Clone(s.notes)
	for _, u := range s.Upstreams {
		for i := range u.Routes {
			b := u.Routes[i].Breaker
			if b == nil || b.Fallback.Cached == nil || slices.Contains(b.Fallback.Cached.KeyHeaders, AllHeaders) {
				continue
			}
			same := "the same URL"
			if names := b.Fallback.Cached.KeyHeaders; len(names) > 0 {
				same += " and the same " + strings.Join(names, ", ")
			}
			notes = append(notes, fmt.Sprintf("%s: fallback.cached.keyHeaders: one copy answers all requests to %s that have %s, also of users whom another header names",
				b.origin(), b.Spec.Key, same))
		}
	}
	slices.Sort(notes)
	return slices.Compact(notes)
}

// origin is where the most specific policy of a breaker is written.
func (b *Breaker) origin() string {
	if len(b.Origins) == 0 {
		return b.Spec.Key.String()
	}
	return fmt.Sprintf("%s:%d", b.Origins[0].File, b.Origins[0].Line)
}
