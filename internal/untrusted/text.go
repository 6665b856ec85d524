package untrusted

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths in bytes of what is shown.
const (
	NameLength    = 256   // of a name: a node id, a workload, a resource, a certificate's subject
	MessageLength = 1_024 // of a sentence: why a proxy refused its configuration
	nameCount     = 10    // names in a list
)

// Name returns a name as it may be shown: at most [NameLength] bytes of it.
func Name(s string) string { return clip(s, NameLength) }

// Message returns a sentence as it may be shown: at most [MessageLength] bytes of it.
func Message(s string) string { return clip(s, MessageLength) }

// Names returns the first names of a list as they may be shown, and how many more there are.
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

// clip escapes what does not print as Go does in a string literal, and cuts after length bytes,
// saying how many there were.
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
