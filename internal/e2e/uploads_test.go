package e2e

import (
	"bytes"
	"io"
	"net/http"
	"testing"
)

// TestFallbackOfLargeUploads shows that a client that reads while it sends gets the fallback for an upload of any size, though
// the proxy does not read the whole upload. The documentation explains the effect on other clients.
func TestFallbackOfLargeUploads(t *testing.T) {
	inBoth(t, func(t *testing.T, path string) {
		ip := ownIP(t)
		m := newMesh(t, ip, service("payments", ip+":1")+policyFor("payments", "dataPath: "+path, "mode: ForcedOpen", "fallback: {response: {status: 503, body: none}}"))
		m.state(t, "payments", "open")
		upload := make([]byte, 32<<20)
		for name, set := range map[string]func(*http.Protocols, http.Header){
			"HTTP/1":             func(p *http.Protocols, _ http.Header) { p.SetHTTP1(true) },
			"HTTP/1 with Expect": func(p *http.Protocols, h http.Header) { p.SetHTTP1(true); h.Set("Expect", "100-continue") },
			"HTTP/2":             func(p *http.Protocols, _ http.Header) { p.SetUnencryptedHTTP2(true) },
		} {
			transport := &http.Transport{Protocols: new(http.Protocols)}
			for range 5 {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+m.egress+"/", bytes.NewReader(upload))
				if err != nil {
					t.Fatal(err)
				}
				r.Host = "payments"
				set(transport.Protocols, r.Header)
				resp, err := transport.RoundTrip(r)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 503 || string(body) != "none" {
					t.Errorf("%s: got %d %q, %v, want the fallback", name, resp.StatusCode, body, err)
				}
			}
			transport.CloseIdleConnections()
		}
	})
}
