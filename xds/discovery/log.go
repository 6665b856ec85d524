package discovery

import (
	"context"
	"log/slog"

	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/untrusted"
	"breakwater.dev/xds"
	"breakwater.dev/xds/discovery/internal/presence"
	"breakwater.dev/xds/discovery/internal/protocol"
)

// tell writes a line to the log for a peer, unless the peer has caused too many lines.
func (s *Server) tell(peer *guard.Peer, level slog.Level, message string, attributes ...any) {
	ok, silent := s.lines.Allow(peer.Name(), s.options.Now())
	if !ok {
		return
	}
	if silent > 0 {
		attributes = append(attributes, "lines_left_out", silent)
	}
	s.log.Log(context.Background(), level, message, attributes...)
}

// tellIntroduced logs who a stream's proxy says it is, with the first type that it asks for. Its stream for the runtime
// layer is not worth a line of its own.
func (s *Server) tellIntroduced(peer *guard.Peer, n Node, typeURL string) {
	if typeURL == xds.RuntimeType {
		return
	}
	level, message := slog.LevelInfo, "proxy connected"
	if n.TooOld() {
		level, message = slog.LevelWarn, "proxy connected, and is too old: before Envoy 1.37 timeouts and connect failures are not seen"
	}
	s.tell(peer, level, message, "node", untrusted.Name(n.ID), "cluster", untrusted.Name(n.Cluster),
		"envoy", untrusted.Name(n.Version), "listen", n.Listen.String())
}

// tellRefused logs a NACK: as an error, or at level debug if the proxy gave the same reason at the last try.
func (s *Server) tellRefused(st *stream, typeURL string, a protocol.Answer) {
	if a.Split {
		s.tell(st.peer, slog.LevelDebug, "proxy refused a response as a whole; its parts are sent one by one",
			"node", untrusted.Name(st.node.ID), "type", typeURL, "resources", untrusted.Names(a.Names), "message", a.Message)
		return
	}
	level := slog.LevelError
	if a.Repeated {
		level = slog.LevelDebug
	}
	s.tell(st.peer, level, "proxy refused configuration; it keeps what it had, and is sent this again after growing pauses",
		"node", untrusted.Name(st.node.ID), "type", typeURL, "resources", untrusted.Names(a.Names), "message", a.Message)
}

// tellRecovered logs that the proxy no longer refuses any resource of a type.
func (s *Server) tellRecovered(st *stream, typeURL string) {
	s.tell(st.peer, slog.LevelInfo, "proxy has taken what it had refused", "node", untrusted.Name(st.node.ID), "type", typeURL)
}

// tellDuplicate logs that two proxies have one id.
func (s *Server) tellDuplicate(peer *guard.Peer, first, second *presence.Proxy) {
	s.tell(peer, slog.LevelWarn, "two proxies have the same node id, and count as one; give each its own, with --service-node or as node.id in the bootstrap",
		"node", second.ID, "from", first.Host, "and_from", second.Host)
}
