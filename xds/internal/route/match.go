package route

import (
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"breakwater.dev/policy"
	"breakwater.dev/xds/internal/message"
)

// match returns the condition on the requests of a route.
func match(m policy.Match) *routev3.RouteMatch {
	out := &routev3.RouteMatch{}
	switch {
	case m.Path != "":
		out.PathSpecifier = &routev3.RouteMatch_Path{Path: m.Path}
	case strings.TrimRight(m.PathPrefix, "/") == "":
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: "/"}
	case strings.HasSuffix(m.PathPrefix, "/"):
		out.PathSpecifier = &routev3.RouteMatch_Prefix{Prefix: m.PathPrefix}
	default:
		// Whole segments, as in the Gateway API: /charge takes /charge, /charge/7 and /charge?id=7, and leaves /chargeback
		// alone.
		out.PathSpecifier = &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: m.PathPrefix}
	}
	if len(m.Methods) > 0 {
		out.Headers = []*routev3.HeaderMatcher{methodMatcher(m.Methods)}
	}
	return out
}

func methodMatcher(methods []string) *routev3.HeaderMatcher {
	m := message.Exactly(methods[0])
	if len(methods) > 1 {
		quoted := make([]string, len(methods))
		for i, method := range methods {
			quoted[i] = regexp.QuoteMeta(method)
		}
		m = message.Matching(strings.Join(quoted, "|"))
	}
	return &routev3.HeaderMatcher{
		Name:                 ":method",
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: m},
	}
}
