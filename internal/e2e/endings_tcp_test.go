package e2e

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// connectionRow is one way in which a connection of protocol TCP ends.
type connectionRow struct {
	name    string
	policy  string
	service func(s *scripted, t *testing.T) (address string)
	lasts   time.Duration // how long the caller keeps the connection
	counts  string        // the outcomes; a success counts when the connection is established
}

// serving starts a service with a mode.
func serving(mode int32) func(*scripted, *testing.T) string {
	return func(s *scripted, t *testing.T) string { return newEchoServer(t, s.ip, mode).address }
}

func refusing(s *scripted, _ *testing.T) string { return s.refusing }
func silent(s *scripted, _ *testing.T) string   { return s.silent }

// connectionRows has the endings of TCP in docs/endings.md. The call is to establish the connection, and no call is slow.
var connectionRows = []connectionRow{
	{"tcp-closed-by-caller", "", serving(echoes), 0, "success"},
	{"tcp-closed-by-service", "", serving(closes), 0, "success"},
	{"tcp-lasts", "timeout: 2s", serving(echoes), 2500 * time.Millisecond, "success"},
	{"tcp-refused", "", refusing, 0, "failure"},
	{"tcp-unreachable", "timeout: 2s", silent, 0, "timeout"},
	{"tcp-reset-later", "", serving(resets), 0, "success + failure"},
}

// logDelay is longer than any time between the end of a connection and the arrival of its log entry.
const logDelay = 3 * time.Second

// connections has the rows of TCP, in the same mesh as the other rows. They have only one data path.
type connections struct {
	*scripted
	rows   []*played
	specs  []connectionRow // for each of rows
	policy string
}

// newConnectionRows starts the services of the rows.
func newConnectionRows(t *testing.T, s *scripted) *connections {
	t.Helper()
	c := &connections{scripted: s, specs: connectionRows}
	for i, r := range connectionRows {
		rules := strings.TrimPrefix(r.policy+"; breaker: "+fmt.Sprintf(neverOpens, "0s"), "; ") // a connection cannot be slow
		row := &played{ending: ending{policy: rules, counts: r.counts}, name: r.name, suffix: "-a"}
		c.rows = append(c.rows, row)
		c.policy += service(row.key(), r.service(s, t), "protocol: TCP", "port: "+strconv.Itoa(c.port(i))) + policyFor(row.key(), row.fields()...)
	}
	return c
}

func (c *connections) port(i int) int { return 15432 + i }

func (c *connections) documents() string { return c.policy }

// play begins the connections of all rows, and adds them to wg.
func (c *connections) play(t *testing.T, wg *sync.WaitGroup) {
	t.Helper()
	for i, row := range c.rows {
		wg.Go(func() {
			began := time.Now()
			result := "an answer"
			if err := c.connect(i); err != nil {
				result = err.Error()
			}
			row.seen = []seen{{result, time.Since(began)}}
		})
	}
}

// connect makes the connection of a row, and sends a line over it at its beginning and at its end.
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
	if err := echo(conn); err != nil {
		return err
	}
	pause(c.specs[i].lasts, nil)
	return echo(conn)
}

// settle waits until the connections are counted as they should be, or until their log entries must have arrived. The order
// of the other log does not help, because connections have logs of their own.
func (c *connections) settle(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(logDelay); time.Now().Before(deadline); pause(20*time.Millisecond, nil) {
		all := c.counts(t)
		if !slices.ContainsFunc(c.rows, func(r *played) bool { return all[r.key()].Counts != countsOf(r.counts) }) {
			return
		}
	}
}
