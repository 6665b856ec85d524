package discovery

import (
	"testing"
	"testing/synctest"
	"time"

	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// renamed is a proxy that has taken routes without b, which it had.
func renamed(t *testing.T) (*Server, *deltaProxy) {
	s := newServer()
	publish(t, s, a, b)
	p := connectDelta(t, s, nodeOf("app-1", nil))
	p.start("a", "b")
	publish(t, s, a)
	p.ack(p.gets1("hosts -b"))
	p.gets()
	return s, p
}

// A call whose route names a cluster may still be asking when the routes change.
func TestClustersStayWhileCallsAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := renamed(t)
		time.Sleep(xds.RouteToHost - time.Millisecond)
		p.gets()
		time.Sleep(time.Millisecond)
		p.ack(p.gets1("clusters -b"))
		p.ack(p.gets1("endpoints -b"))
		p.gets()
	})
}

// A cluster that comes back is not sent, and its time begins again when it goes again.
func TestClustersThatComeBackStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := renamed(t)
		time.Sleep(xds.RouteToHost / 2)
		publish(t, s, a, b)
		routes := p.gets1("hosts +b")
		publish(t, s, a)
		p.ack(routes)
		p.ack(p.gets1("hosts -b"))
		time.Sleep(xds.RouteToHost - time.Millisecond)
		p.gets()
		time.Sleep(time.Millisecond)
		p.gets("clusters -b")
	})
}

// Each goes in its own time, however often others go.
func TestClustersDoNotWaitForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := renamed(t)
		time.Sleep(xds.RouteToHost / 2)
		publish(t, s)
		p.ack(p.gets1("hosts -a"))
		time.Sleep(xds.RouteToHost / 2)
		p.ack(p.gets1("clusters -b"))
		p.ack(p.gets1("endpoints -b"))
		p.gets()
		time.Sleep(xds.RouteToHost / 2)
		p.gets("clusters -a")
	})
}

// A virtual host that the proxy has refused to lose is in force: it still refers to a cluster that the policy no longer has.
func TestClustersStayWhileTheirRoutesDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, b)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.start("a", "b")
		publish(t, s, a)
		for pause := 2 * protocol.FirstRetry; pause < 8*xds.RouteToHost; pause *= 2 { // they are tried again each time
			p.nack(p.gets1("hosts -b"))
			time.Sleep(pause)
		}
		p.nack(p.gets1("hosts -b"))
		publish(t, s, ah)
		p.ack(p.gets1("hosts +a"))
		time.Sleep(2 * protocol.LastRetry)
		p.ack(p.gets1("hosts -b"))
		time.Sleep(xds.RouteToHost)
		p.gets("clusters -b")
	})
}

func TestSotwClustersStayWhileCallsAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer()
		publish(t, s, a, b)
		p := connectSotw(t, s, nodeOf("app-1", nil))
		p.start("a", "b")
		publish(t, s, a)
		p.ack(p.gets1("routes =routes"))
		time.Sleep(xds.RouteToHost - time.Millisecond)
		p.gets()
		time.Sleep(time.Millisecond)
		p.gets("clusters =a")
	})
}

// Clusters do not wait for secrets that go later.
func TestClustersDoNotWaitForSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, trusting := newServer(), up{name: "a", ca: "/etc/ca.pem"}
		publish(t, s, trusting, b)
		p := connectDelta(t, s, nodeOf("app-1", nil))
		p.subscribe(xds.SecretType, "ca:/etc/ca.pem")
		p.start("a", "b")
		answer := func() {
			for synctest.Wait(); len(p.out) > 0; synctest.Wait() {
				p.ack(<-p.out)
			}
		}
		publish(t, s, trusting)
		answer()
		time.Sleep(xds.RouteToHost / 2)
		publish(t, s, a)
		answer()
		time.Sleep(xds.RouteToHost / 2)
		p.ack(p.gets1("clusters -b"))
		p.ack(p.gets1("endpoints -b"))
		p.gets()
		time.Sleep(xds.RouteToHost / 2)
		p.gets("secrets -ca:/etc/ca.pem")
	})
}
