package policy

import (
	"cmp"
	"net/netip"
	"regexp"
	"strings"
	"unicode/utf8"

	"breakwater.dev/policy/internal/yamlwalk"
)

var hostName = regexp.MustCompile(`^[a-zA-Z0-9]([-_a-zA-Z0-9]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([-_a-zA-Z0-9]{0,61}[a-zA-Z0-9])?)*$`)

func isHostName(s string) bool { return len(s) <= 253 && hostName.MatchString(s) }

// host reads one authority. Authorities have no upper case (RFC 3986 section 3.2.2), and the proxy ignores
// their port and a dot at their end. *.example.com is the only form of Envoy's wildcards that is accepted:
// the others also match hosts that do not belong to the upstream.
func (u *upstreamDoc) host(o *Object, v yamlwalk.Value) {
	const want = "a host name or an IP address without a port, such as payments.shop.svc, *.example.com or \"[fd00::1]\""
	text, ok := v.String(want)
	if !ok {
		return
	}
	authorities := authorities(text)
	switch {
	case authorities != nil:
	case strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }):
		v.Fail("a name in ASCII: callers send the form that begins with xn--, of bücher.example xn--bcher-kva.example", "bad-host")
	default:
		v.Fail(want, "bad-host")
	}
	for _, a := range authorities {
		u.Hosts = append(u.Hosts, a)
		u.hostsAt = append(u.hostsAt, o.place(v))
	}
}

// authorities returns the forms of a host in which callers may write it into the Host header; nil: it is not
// a host.
func authorities(host string) []string {
	literal, found := strings.CutPrefix(host, "[")
	if literal, closed := strings.CutSuffix(literal, "]"); found == closed {
		if ip, ok := ipv6(literal); ok {
			// The proxy compares texts, and an address has several: take the usual one (RFC 5952), and the
			// one of the policy.
			usual, written := "["+ip.String()+"]", "["+strings.ToLower(literal)+"]"
			if usual == written {
				return []string{usual}
			}
			return []string{usual, written}
		}
	}
	name := strings.TrimSuffix(host, ".")
	if !isHostName(strings.TrimPrefix(name, "*.")) {
		return nil
	}
	return []string{strings.ToLower(name)}
}

// Authority returns the host for requests that we send to the upstream: its own name if that is one of its
// hosts, or else the first host that is a name, or else the first address. It returns "" if every host has a
// wildcard.
func (u *Upstream) Authority() string {
	name, address := "", ""
	for _, h := range u.Hosts {
		_, err := netip.ParseAddr(strings.Trim(h, "[]"))
		switch {
		case strings.Contains(h, "*"):
		case h == u.Name:
			return h
		case err != nil && name == "":
			name = h
		case err == nil && address == "":
			address = h
		}
	}
	return cmp.Or(name, address)
}

// ipv6 reads an IPv6 address. A zone is refused: it means something else on every host.
func ipv6(s string) (ip netip.Addr, ok bool) {
	ip, err := netip.ParseAddr(s)
	return ip, err == nil && ip.Is6() && ip.Zone() == ""
}
