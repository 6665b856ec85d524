package listener

import (
	"fmt"

	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"breakwater.dev/xds/internal/message"
)

// otherThan returns matchers of every text except one word of letters, however the word is capitalized. RE2 cannot negate, so each
// matcher takes the texts that begin to differ from the word at one place. They are not one expression, since Envoy 1.37
// refuses an expression whose program has more than 100 instructions.
func otherThan(word string) []*matcherv3.StringMatcher {
	var all []*matcherv3.StringMatcher
	for i, c := range word {
		all = append(all, message.Matching(fmt.Sprintf("(?i)%s([^%c].*)?", word[:i], c)))
	}
	return append(all, message.Matching(fmt.Sprintf("(?i)%s.+", word)))
}
