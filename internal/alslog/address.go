package alslog

import (
	"bytes"
	"math"
	"net/netip"

	"google.golang.org/protobuf/encoding/protowire"
)

// readAddress reads a config.core.v3.Address. The result is the zero value where that is not an IP address with a port.
func readAddress(data []byte) (netip.AddrPort, error) {
	var ip netip.Addr
	var port uint64
	err := texts(data, func(number protowire.Number, b []byte) error {
		if number != 1 { // socket_address
			return nil
		}
		return fields(b, func(number protowire.Number, n uint64, b []byte) error {
			switch {
			case number == 2 && b != nil:
				ip = parseIP(b)
			case number == 3 && b == nil:
				port = n
			}
			return nil
		})
	})
	if !ip.IsValid() || port > math.MaxUint16 {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(ip, uint16(port)), err
}

// parseIP is [netip.ParseAddr] that makes no string of addresses as Envoy prints them, and so allocates nothing. An IPv4
// address that is mapped to IPv6 becomes the IPv4 address. The result is the zero value where text is not an address.
func parseIP(text []byte) netip.Addr {
	if ip, ok := parseIPv4(text); ok {
		return netip.AddrFrom4(ip)
	}
	if ip, ok := parseIPv6(text); ok {
		return netip.AddrFrom16(ip).Unmap()
	}
	ip, err := netip.ParseAddr(string(text))
	if err != nil {
		return netip.Addr{}
	}
	return ip.Unmap()
}

// parseIPv4 reads four decimal numbers with dots between them. A number may have zeros before it.
func parseIPv4(text []byte) (ip [4]byte, ok bool) {
	at, value, digits := 0, 0, 0
	for _, c := range text {
		switch {
		case '0' <= c && c <= '9' && digits < 3:
			value, digits = value*10+int(c-'0'), digits+1
		case c == '.' && digits > 0 && value < 256 && at < 3:
			ip[at] = byte(value)
			at, value, digits = at+1, 0, 0
		default:
			return ip, false
		}
	}
	ip[at] = byte(value)
	return ip, at == 3 && digits > 0 && value < 256
}

// parseIPv6 reads groups of hexadecimal digits with colons between them, of which one may be double. An address with a zone,
// or with an IPv4 address in it, is left to [netip.ParseAddr].
func parseIPv6(text []byte) (ip [16]byte, ok bool) {
	double := []byte("::")
	size, gap := 0, -1 // the bytes of ip that are set; how many of them are before the double colon
	if bytes.HasPrefix(text, double) {
		gap, text = 0, text[2:]
	}
	for len(text) > 0 {
		value, digits := hex(text)
		if digits == 0 || size == len(ip) {
			return ip, false
		}
		ip[size], ip[size+1] = byte(value>>8), byte(value)
		size, text = size+2, text[digits:]
		switch {
		case len(text) == 0:
		case gap < 0 && bytes.HasPrefix(text, double):
			gap, text = size, text[2:]
		case len(text) > 1 && text[0] == ':':
			text = text[1:]
		default:
			return ip, false
		}
	}
	if gap < 0 {
		return ip, size == len(ip)
	}
	behind := len(ip) - (size - gap)
	copy(ip[behind:], ip[gap:size])
	clear(ip[gap:behind])
	return ip, size < len(ip)
}

// hex reads at most four hexadecimal digits, and returns how many there are.
func hex(text []byte) (value, digits int) {
	for _, c := range text[:min(len(text), 4)] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return value, digits
		}
		value, digits = value<<4|int(c), digits+1
	}
	return value, digits
}
