package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Primary is the name that the Sentinel of a [Failover] has for its primary.
const Primary = "main"

// Failover is a primary with a replica and a Sentinel, which makes the replica the primary soon after the primary has died.
type Failover struct {
	Primary, Replica, Sentinel *Server
}

// StartFailover starts the three servers, and waits until the Sentinel knows the replica.
func StartFailover(t testing.TB, kind Kind) *Failover {
	t.Helper()
	f := &Failover{Primary: Start(t, kind)}
	f.Replica = Start(t, kind, "--replicaof", "127.0.0.1 "+port(f.Primary.Addr))

	f.Sentinel = &Server{kind: kind, dir: t.TempDir()}
	config := filepath.Join(f.Sentinel.dir, "sentinel.conf") // a Sentinel writes to it
	text := fmt.Sprintf("sentinel monitor %s 127.0.0.1 %s 1\nsentinel down-after-milliseconds %[1]s 500\nsentinel failover-timeout %[1]s 5000\n", Primary, port(f.Primary.Addr))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f.Sentinel.args = []string{config, "--sentinel"}
	f.Sentinel.startAnywhere(t)

	Wait(t, "the Sentinel to know the replica", func() bool {
		replicas, _ := f.Sentinel.Do(t, "SENTINEL", "REPLICAS", Primary).([]any)
		return len(replicas) == 1 && strings.Contains(fmt.Sprint(replicas), "master-link-status:ok")
	})
	return f
}

// StartCluster starts a cluster of n primaries, which have all slots among them.
func StartCluster(t testing.TB, kind Kind, n int) []*Server {
	t.Helper()
	const slots = 16384
	servers := make([]*Server, n)
	for i := range servers {
		servers[i] = Start(t, kind, "--cluster-enabled", "yes")
		servers[i].Do(t, "CLUSTER", "ADDSLOTSRANGE", i*slots/n, (i+1)*slots/n-1)
	}
	for _, s := range servers[1:] {
		s.Do(t, "CLUSTER", "MEET", "127.0.0.1", port(servers[0].Addr), servers[0].busPort)
	}
	for _, s := range servers {
		Wait(t, "all slots to have a server", func() bool {
			info := fmt.Sprint(s.Do(t, "CLUSTER", "INFO"))
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprint("cluster_known_nodes:", n))
		})
	}
	return servers
}
