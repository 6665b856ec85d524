package wire

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names of what a proxy has, and by which it and the control plane refer to one another.
const (
	// ControlPlaneCluster is the cluster by which a proxy reaches the control plane. The bootstrap
	// defines it, and listeners and routes refer to it. No upstream can have this name.
	ControlPlaneCluster = "breakwater"
	// EgressName is the name of the listener that applications send to, and of its route
	// configuration.
	EgressName = "egress"
	// EgressCluster is the cluster by which a proxy calls itself, for calls that a fallback upstream
	// takes over. No upstream can have this name, since names of upstreams hold no slash.
	EgressCluster = ControlPlaneCluster + "/" + EgressName
	// tcpPrefix begins the names of listeners of upstreams whose protocol is TCP.
	tcpPrefix = "tcp/"
)

// Ports at which a proxy listens unless its bootstrap says otherwise. No upstream can have them.
const (
	EgressPort = 10000 // for requests
	AdminPort  = 9901  // of the proxy itself
)

// TCPListener returns the name of the listener of an upstream whose protocol is TCP.
func TCPListener(upstream string) string { return tcpPrefix + upstream }

// Keys of node.metadata in a proxy's bootstrap, by which the proxy says what it wants.
const (
	// MetadataListen is the address and port of the egress listener, a string.
	MetadataListen = "breakwater.dev/listen"
	// MetadataUpstreams is the list of upstreams to send. A proxy without it gets all.
	MetadataUpstreams = "breakwater.dev/upstreams"
)

// MaxNodeID is the longest id of a proxy, in bytes. The id comes back in keys of breakers, in logs
// and on pages.
const MaxNodeID = 256

// ValidNodeID reports whether a proxy may have this id: not empty, at most [MaxNodeID] bytes of UTF-8, and
// printable. An id is never cut, since two proxies must not become one.
func ValidNodeID(id string) bool {
	return id != "" && len(id) <= MaxNodeID && utf8.ValidString(id) &&
		!strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) })
}

// RequestLog is the name of the log of requests in a proxy. That of connections is [ConnectionLog].
const RequestLog = "breakwater"

// ConnectionLog returns the name of a proxy's log of the connections to an upstream whose protocol is TCP. It tells the
// upstream, since the entry of a connection that was refused does not (Envoy 1.40).
func ConnectionLog(upstream string) string { return RequestLog + "/" + upstream }

// ParseLog reads the name of a log. The upstream is empty for [RequestLog], and ok is false for the logs of others.
func ParseLog(name string) (upstream string, ok bool) {
	log, upstream, _ := strings.Cut(name, "/")
	return upstream, log == RequestLog
}
