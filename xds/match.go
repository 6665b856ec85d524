package xds

import (
	"fmt"
	"strings"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"breakwater.dev/xds/internal/message"
)

// matching takes a value that an RE2 expression matches as a whole.
func matching(expression string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{
		SafeRegex: &matcherv3.RegexMatcher{Regex: expression},
	}}
}

func anyOf(names []string) *matcherv3.ListStringMatcher {
	list := &matcherv3.ListStringMatcher{}
	for _, n := range names {
		list.Patterns = append(list.Patterns, message.Exactly(n))
	}
	return list
}

// otherThan is an expression for every text but one word of letters, however that is capitalized. RE2
// cannot negate, so it goes by where a text begins to differ.
func otherThan(word string) string {
	var b strings.Builder
	for i, c := range word {
		if i > 0 {
			b.WriteString("|")
		}
		fmt.Fprintf(&b, "%s([^%c].*)?", word[:i], c)
	}
	return "(?i)(" + b.String() + "|" + word + ".+)"
}
