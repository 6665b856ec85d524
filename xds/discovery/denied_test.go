package discovery

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestUnknownUpstreamsAreToldOnce: an upstream that a proxy lists and the policy does not have is in the log once, and in
// the status until the policy has it.
func TestUnknownUpstreamsAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := NewServer(Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: time.Now})
		publish(t, s, a)
		connect := func() *deltaProxy {
			p := connectDelta(t, s, only("a", "stok"))
			p.start("a")
			return p
		}
		wantLogged := func(want int) {
			t.Helper()
			if got := strings.Count(log.String(), "upstreams=[stok]"); got != want {
				t.Fatalf("in the log %d times, want %d:\n%s", got, want, log.String())
			}
		}
		p := connect()
		wantLogged(1)
		same(t, s.Status()[0].UnknownUpstreams, []string{"stok"})
		publish(t, s, a2)
		p.settle()
		p.cancel()
		synctest.Wait()
		p = connect() // it came back
		wantLogged(1)
		publish(t, s, a2, up{name: "stok"})
		p.settle()
		same(t, s.Status()[0].UnknownUpstreams, nil)
		publish(t, s, a2)
		p.settle()
		wantLogged(2)
	})
}
