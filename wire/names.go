package wire

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names of clusters and listeners in a proxy.
const (
	// ControlPlaneCluster is the cluster by which a proxy reaches the control plane. The bootstrap
	// defines it, and listeners and routes refer to it. No upstream can have this name.
	ControlPlaneCluster = "breakwater"
	// EgressName is the name of the listener that applications send to.
	EgressName = "egress"
	// RoutesName is the name of the listener's route configuration, and the part before the slash in the
	// names of its virtual hosts.
	RoutesName = "routes"
	// EgressCluster is the cluster by which a proxy calls itself, for calls that a fallback upstream
	// takes over. No upstream can have this name, since names of upstreams contain no slash.
	EgressCluster = ControlPlaneCluster + "/" + EgressName
	// tcpPrefix begins the names of the listeners for upstreams whose protocol is TCP.
	tcpPrefix = "tcp/"
)

// Ports on which a proxy listens by default. No upstream can have them.
const (
	EgressPort = 10000 // the egress listener
	AdminPort  = 9901  // Envoy's admin interface
)

// VirtualHost returns the name of the virtual host of an upstream. Envoy asks for all virtual hosts of a route
// configuration by the name of the configuration, and demands that a virtual host is called as its resource is.
func VirtualHost(upstream string) string { return RoutesName + "/" + upstream }

// TCPListener returns the name of the listener of an upstream whose protocol is TCP.
func TCPListener(upstream string) string { return tcpPrefix + upstream }

// Keys of node.metadata in a proxy's bootstrap, by which the proxy chooses its configuration.
const (
	// MetadataListen is the address and port of the egress listener, a string.
	MetadataListen = "breakwater.dev/listen"
	// MetadataUpstreams is the list of upstreams that the proxy calls. A proxy without it gets all upstreams.
	MetadataUpstreams = "breakwater.dev/upstreams"
)

// MaxNodeID is the longest id of a proxy, in bytes. The id is shown in keys of breakers, in logs and on pages.
const MaxNodeID = 256

// ValidNodeID reports whether a proxy may have this id: not empty, at most [MaxNodeID] bytes of UTF-8, and
// printable. An id is never cut, since two proxies must not become one.
func ValidNodeID(id string) bool {
	return id != "" && len(id) <= MaxNodeID && utf8.ValidString(id) &&
		!strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) })
}

// RequestLog is the name of the access log of requests in a proxy. See [ConnectionLog] for connections.
const RequestLog = "breakwater"

// ConnectionLog returns the name of a proxy's access log of the connections to an upstream whose protocol is TCP. The
// name contains the upstream, because Envoy 1.40 leaves the upstream out of the entries of refused connections.
func ConnectionLog(upstream string) string { return RequestLog + "/" + upstream }

// ParseLog reads the name of an access log. The upstream is empty for [RequestLog]. ok is false if the name is none of
// ours.
func ParseLog(name string) (upstream string, ok bool) {
	log, upstream, _ := strings.Cut(name, "/")
	return upstream, log == RequestLog
}
