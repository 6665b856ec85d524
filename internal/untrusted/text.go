package untrusted

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on the text that is shown.
const (
	NameLength    = 256   // bytes of a name: a node id, a workload, a resource, a certificate's subject
	MessageLength = 1_024 // bytes of a message, such as a proxy's reason for refusing its configuration
	nameCount     = 10    // names of a list
)

// Name returns a name that is safe to show: at most [NameLength] bytes of s, escaped, and a note of its length if it
// was longer.
func Name(s string) string { return clip(s, NameLength) }

// Message returns a message that is safe to show: at most [MessageLength] bytes of s, escaped, and a note of its
// length if it was longer.
func Message(s string) string { return clip(s, MessageLength) }

// Names returns the first ten names of a list, safe to show, and a note of how many more there are.
func Names(all []string) []string {
	shown := make([]string, 0, min(len(all), nameCount)+1)
	for i, s := range all {
		if i == nameCount {
			return append(shown, fmt.Sprintf("… and %d more", len(all)-nameCount))
		}
		shown = append(shown, Name(s))
	}
	return shown
}

// clip escapes unprintable characters as in a Go string literal. It cuts the result after length bytes, and then adds
// how many bytes s has.
func clip(s string, length int) string {
	if len(s) <= length && printable(s) {
		return s
	}
	var b strings.Builder
	for at, r := range s {
		shown := string(r)
		if _, size := utf8.DecodeRuneInString(s[at:]); r == utf8.RuneError && size == 1 {
			shown = fmt.Sprintf(`\x%02x`, s[at])
		} else if !unicode.IsPrint(r) {
			quoted := strconv.QuoteRune(r)
			shown = quoted[1 : len(quoted)-1]
		}
		if b.Len()+len(shown) > length {
			fmt.Fprintf(&b, "… (%d bytes)", len(s))
			break
		}
		b.WriteString(shown)
	}
	return b.String()
}

func printable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
