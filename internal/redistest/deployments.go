package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Primary is the name that the Sentinels of a [Failover] have for its primary.
const Primary = "main"

// Failover is a primary with a replica and three Sentinels, of which two make the replica the primary soon after the primary has died.
type Failover struct {
	Primary, Replica *Server
	Sentinels        [3]*Server
}

// StartFailover starts the servers, and waits until the Sentinels know the replica and one another.
func StartFailover(t testing.TB, kind Kind) *Failover {
	t.Helper()
	f := &Failover{Primary: Start(t, kind)}
	f.Replica = Start(t, kind, "--replicaof", "127.0.0.1 "+port(f.Primary.Addr))
	Wait(t, "the replica to have a copy", func() bool {
		return strings.Contains(fmt.Sprint(f.Replica.Do(t, "INFO", "replication")), "master_link_status:up")
	})
	for i := range f.Sentinels {
		f.Sentinels[i] = startSentinel(t, kind, f.Primary)
	}
	for _, s := range f.Sentinels {
		Wait(t, "the Sentinels to know all servers", func() bool {
			state := fmt.Sprint(s.Do(t, "SENTINEL", "MASTER", Primary))
			return strings.Contains(state, "num-slaves:1") && strings.Contains(state, "num-other-sentinels:2")
		})
	}
	return f
}

// startSentinel starts a Sentinel that watches a primary.
func startSentinel(t testing.TB, kind Kind, primary *Server) *Server {
	t.Helper()
	s := &Server{kind: kind, dir: t.TempDir()}
	config := filepath.Join(s.dir, "sentinel.conf") // a Sentinel writes to it
	text := fmt.Sprintf("sentinel monitor %s 127.0.0.1 %s 2\nsentinel down-after-milliseconds %[1]s 500\nsentinel failover-timeout %[1]s 1000\n", Primary, port(primary.Addr))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.args = []string{config, "--sentinel"}
	s.startAnywhere(t)
	return s
}

// StartCluster starts a cluster of n primaries, which have all slots among them.
func StartCluster(t testing.TB, kind Kind, n int) []*Server {
	t.Helper()
	const slots = 16384
	servers := make([]*Server, n)
	for i := range servers {
		servers[i] = Start(t, kind, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
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

// Replicate adds a server to a cluster that takes the place of a primary soon after the primary has died.
func Replicate(t testing.TB, primary *Server) *Server {
	t.Helper()
	s := Start(t, primary.kind, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
	s.Do(t, "CLUSTER", "MEET", "127.0.0.1", port(primary.Addr), primary.busPort)
	id := fmt.Sprint(primary.Do(t, "CLUSTER", "MYID"))
	Wait(t, "the replica to know the primary", func() bool {
		return strings.Contains(fmt.Sprint(s.Do(t, "CLUSTER", "NODES")), id)
	})
	s.Do(t, "CLUSTER", "REPLICATE", id)
	Wait(t, "the primary to have a replica", func() bool {
		return strings.Contains(fmt.Sprint(primary.Do(t, "INFO", "replication")), "state=online")
	})
	return s
}
