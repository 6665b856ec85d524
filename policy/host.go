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

// host reads one authority. Authorities know no upper case (RFC 3986 section
// 3.2.2), and the proxy ignores their port and a dot at their end. Of Envoy's wildcards only
// *.example.com is taken: the others would reach hosts of nobody.
func (u *upstreamDoc) host(o *object, v yamlwalk.Value) {
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
		u.hostsAt = append(u.hostsAt, o.newPlace(v))
	}
}

// authorities are a host of a policy as callers write it into the Host header; nil: it is no host.
func authorities(host string) []string {
	literal, found := strings.CutPrefix(host, "[")
	if literal, closed := strings.CutSuffix(literal, "]"); found == closed {
		if ip, ok := ipv6(literal); ok {
			// The proxy compares texts, and one address has many: the usual one (RFC 5952), and the policy's.
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

// Authority returns the host of a call that is nobody's: the upstream's own name if that is one of its
// hosts, or else its first name, or else its first address; "" where every host has a wildcard.
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

// ipv6 reads an IPv6 address that means the same on every host.
func ipv6(s string) (ip netip.Addr, ok bool) {
	ip, err := netip.ParseAddr(s)
	return ip, err == nil && ip.Is6() && ip.Zone() == ""
}
