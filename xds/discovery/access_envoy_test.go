package discovery

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"breakwater.dev/xds"
)

// TestEnvoyGetsWhatItsWorkloadMayCall, with the policy that names it among the callers, and no longer than that.
func TestEnvoyGetsWhatItsWorkloadMayCall(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here") }))
	defer web.Close()
	host, port, _ := strings.Cut(web.Listener.Addr().String(), ":")
	callers := func(list string) string {
		upstream := "---\napiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: %s}\n" +
			"spec: {endpoints: [{address: %s, port: %s}]%s}\n"
		return fmt.Sprintf(upstream, "open", host, port, "") + fmt.Sprintf(upstream, "web", host, port, ", callers: ["+list+"]")
	}
	for i, apiType := range []string{"DELTA_GRPC", "GRPC"} {
		t.Run(apiType, func(t *testing.T) {
			p := startProxy(t, bootstraps[apiType], uint16(20_300+10*i))
			gets := func(when, list, answer string, want bool) {
				t.Helper()
				p.publishText(callers(list))
				p.await(when+", a call gets "+answer+", and one to what every workload may call its response", func() bool {
					return p.has("web") == want && strings.HasPrefix(p.call("web"), answer) && p.call("open") == "200 here"
				})
			}
			gets("while others are callers", "shop", "404", false)
			gets("when it becomes one", "shop, app", "200 here", true)
			gets("when it is one no more", "shop", "404", false)
			if c := p.server.Counts()[xds.ClusterType]; c.NACKs != 0 {
				t.Errorf("%d of %d responses were refused", c.NACKs, c.Pushes)
			}
		})
	}
}
