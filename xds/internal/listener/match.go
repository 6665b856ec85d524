package listener

import (
	"fmt"
	"strings"
)

// otherThan returns an RE2 expression for every text except one word of letters, however the word is capitalized. RE2
// cannot negate, so the expression lists where a text can begin to differ from the word.
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
