package listener

import (
	"regexp"
	"testing"
)

// TestOtherThan: only the word itself is not another one, however it is capitalized.
func TestOtherThan(t *testing.T) {
	other := regexp.MustCompile("^(?:" + otherThan("websocket") + ")$") // as Envoy matches
	for text, want := range map[string]bool{
		"websocket": false, "WebSocket": false, "WEBSOCKET": false,
		"": true, "h2c": true, "web": true, "WEB": true, "websockeT ": true, "websockets": true, "xwebsocket": true, "WEBSOX": true, "w": true, "wx": true,
	} {
		if got := other.MatchString(text); got != want {
			t.Errorf("%q is another text: %t, want %t", text, got, want)
		}
	}
}
