package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// GuardedHandler is [API.Handler] for a port that browsers can reach. No page that a browser
// shows can read it: a page of evil.example whose name is made to resolve to our address (DNS
// rebinding) has the same origin for the browser, but its requests have that name in Host. So a
// request in plain text is only answered if its Host cannot be the name of a stranger:
//
//   - an IP address, or none at all, as Prometheus and a kubelet send them that know a pod by its address;
//   - localhost, and names below it;
//   - a name without a dot, which no stranger can register: breakwater, in its own namespace;
//   - a name that ends in .svc or .svc.cluster.local, which are not in the public DNS;
//   - one of names, in upper or lower case. "*" is every name.
//
// Other requests get 421. Over TLS, where the certificate has to be for the name, all pass.
func (a *API) GuardedHandler(names ...string) http.Handler {
	handler := a.Handler()
	allowed := make([]string, len(names))
	for i, n := range names {
		allowed[i] = strings.ToLower(n)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostname(r.Host); r.TLS == nil && !ownName(host) && !slices.Contains(allowed, host) && !slices.Contains(allowed, "*") {
			a.refuse(w, http.StatusMisdirectedRequest, fmt.Sprintf("Host = %q; must be an IP address, localhost, a name without a dot or one that ends in .svc. "+
				"If it is a name of this control plane, start it with `breakwater serve --http-host %s`", r.Host, host))
			return
		}
		handler.ServeHTTP(w, r)
	})
}

// hostname returns the name in a Host, without the port, in lower case and without the dot of the root.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
}

// ownName reports whether no stranger can own the name.
func ownName(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") {
		return true
	}
	return slices.ContainsFunc([]string{".localhost", ".svc", ".svc.cluster.local"}, func(end string) bool { return strings.HasSuffix(host, end) })
}

// peer returns the address that a request is from. It is empty for this host, from which the
// requests through a tunnel come too, such as kubectl port-forward.
func peer(r *http.Request) string {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || from.Addr().Unmap().IsLoopback() {
		return ""
	}
	return from.Addr().Unmap().WithZone("").String()
}
