package listener

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"testing"
)

// TestOtherThan: only the word itself is not another one, however it is capitalized.
func TestOtherThan(t *testing.T) {
	var others []*regexp.Regexp
	for _, m := range otherThan("websocket") {
		others = append(others, regexp.MustCompile("^(?:"+m.GetSafeRegex().GetRegex()+")$")) // as Envoy matches
	}
	for text, want := range map[string]bool{
		"websocket": false, "WebSocket": false, "WEBSOCKET": false,
		"": true, "h2c": true, "web": true, "WEB": true, "websockeT ": true, "websockets": true, "xwebsocket": true, "WEBSOX": true, "w": true, "wx": true,
	} {
		if got := slices.ContainsFunc(others, func(r *regexp.Regexp) bool { return r.MatchString(text) }); got != want {
			t.Errorf("%q is another text: %t, want %t", text, got, want)
		}
	}
}

// TestSmallExpressions: Envoy 1.37 refuses an expression whose RE2 program has more than 100 instructions. RE2 works on bytes, so
// its programs are about twice as large as Go's programs, which are counted here.
func TestSmallExpressions(t *testing.T) {
	for _, m := range otherThan("websocket") {
		parsed, err := syntax.Parse(m.GetSafeRegex().GetRegex(), syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		program, err := syntax.Compile(parsed.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(program.Inst); n > 25 {
			t.Errorf("%s has %d instructions in Go", m.GetSafeRegex().GetRegex(), n)
		}
	}
}
