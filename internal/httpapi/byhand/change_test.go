package byhand

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"breakwater.dev/api"
)

// FuzzRead: whatever a body is, it is refused with a reason or is a change that
// keeps every rule. The words of each refusal are in httpapi's golden file byhand.txtar.
func FuzzRead(f *testing.F) {
	for _, body := range []string{
		`{"action":"force_open","by":"alice","reason":"a drill","expires_in":"10m"}`,
		`{"action":"reset","by":"alice","reason":"it is over"}`,
		`{"action":"force_closed","by":"\u0000","reason":"\n","expires_in":"-1h"}`,
		`{"Action":"reset","BY":"a","reason":"b"} {}`, `[[[[`, `null`, ``, "\xff",
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		c, no := Read(httptest.NewRecorder(), r)
		if no != nil {
			if no.Text == "" || no.Status < 400 || no.Status > 499 {
				t.Errorf("refused with %+v", no)
			}
			return
		}
		for _, words := range []string{c.By, c.Reason} {
			n := utf8.RuneCountInString(words)
			if n < 1 || n > 200 || strings.ContainsFunc(words, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("took the words %q", words)
			}
		}
		switch c.Action {
		case api.ForceOpen, api.ForceClosed:
			if c.Lasts <= 0 || c.Lasts > 7*24*time.Hour {
				t.Errorf("took %s for %s", c.Action, c.Lasts)
			}
		case api.Reset:
			if c.Lasts != 0 || c.ExpiresIn != nil {
				t.Errorf("took a reset for %s", c.Lasts)
			}
		default:
			t.Errorf("took the action %q", c.Action)
		}
	})
}
