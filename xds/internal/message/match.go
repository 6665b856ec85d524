package message

import matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

// Exactly returns a matcher of one string.
func Exactly(s string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: s}}
}

// Matching returns a matcher of strings that an RE2 expression matches as a whole.
func Matching(expression string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{
		SafeRegex: &matcherv3.RegexMatcher{Regex: expression},
	}}
}
