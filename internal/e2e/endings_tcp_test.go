package e2e

import (
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// connectionRow is one way for a connection of protocol TCP to end.
type connectionRow struct {
	name    string
	policy  string
	service func(s *scripted, t *testing.T) (address string)
	holds   time.Duration // how long the caller keeps the connection
	counts  string        // a success counts when the connection is made
}

func serving(mode int32) func(*scripted, *testing.T) string {
	return func(s *scripted, t *testing.T) string { return newEchoServer(t, s.ip, mode).address }
}

func nobody(s *scripted, _ *testing.T) string { return s.nobody }
func busy(s *scripted, _ *testing.T) string   { return s.busy }

// connectionRows say what docs/endings.md has of TCP: establishing the connection is the call, and none is slow.
var connectionRows = []connectionRow{
	{"tcp-closed-by-caller", "", serving(echoes), 0, "success"},
	{"tcp-closed-by-service", "", serving(closes), 0, "success"},
	{"tcp-lasts", "timeout: 2s", serving(echoes), 2500 * time.Millisecond, "success"},
	{"tcp-refused", "", nobody, 0, "failure"},
	{"tcp-unreachable", "timeout: 2s", busy, 0, "timeout"},
	{"tcp-reset-later", "", serving(resets), 0, "success + failure"},
}

// settling is longer than an entry of a log is ever on its way.
const settling = 3 * time.Second

// connections are the rows of TCP, in the mesh of the others. There is one data path for them.
type connections struct {
	*scripted
	rows []*played
	what []connectionRow
	text string
}

func newConnectionRows(t *testing.T, s *scripted) *connections {
	t.Helper()
	c := &connections{scripted: s, what: connectionRows}
	for i, r := range connectionRows {
		row := &played{ending: ending{policy: r.policy, counts: r.counts}, name: r.name, suffix: "-a"}
		c.rows = append(c.rows, row)
		c.text += service(row.key(), r.service(s, t), "protocol: TCP", "port: "+strconv.Itoa(c.port(i))) + policyFor(row.key(), row.fields()...)
	}
	return c
}

func (c *connections) port(i int) int { return 15432 + i }

func (c *connections) documents() string { return c.text }

func (c *connections) play(t *testing.T, wg *sync.WaitGroup) {
	t.Helper()
	for i, row := range c.rows {
		wg.Go(func() {
			began := time.Now()
			what := "an answer"
			if err := c.connect(i); err != nil {
				what = err.Error()
			}
			row.seen = []seen{{what, time.Since(began)}}
		})
	}
}

// connect makes one connection, and says a line over it.
func (c *connections) connect(i int) error {
	address := net.JoinHostPort(c.ip, strconv.Itoa(c.port(i)))
	conn, err := net.Dial("tcp", address)
	for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); {
		pause(5*time.Millisecond, nil) // the proxy does not listen yet
		conn, err = net.Dial("tcp", address)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := talk(conn); err != nil {
		return err
	}
	pause(c.what[i].holds, nil)
	return talk(conn)
}

// settle waits for what the connections are to count as, or for as long as it could take:
// connections have logs of their own, so the order of the others says nothing of them.
func (c *connections) settle(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(settling); time.Now().Before(deadline); pause(20*time.Millisecond, nil) {
		all := c.told(t)
		if !slices.ContainsFunc(c.rows, func(r *played) bool { return all[r.key()].Counts != countsOf(r.counts) }) {
			return
		}
	}
}
