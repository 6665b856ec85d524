package feed

import (
	"math"
	"net/netip"

	"google.golang.org/protobuf/encoding/protowire"
)

// readAddress reads a socket address; the zero value where it is another one.
func readAddress(data []byte) (netip.AddrPort, error) {
	var ip netip.Addr
	var port uint64
	err := texts(data, func(number protowire.Number, b []byte) error {
		if number != 1 {
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

// parseIP is netip.ParseAddr without a string for IPv4.
func parseIP(text []byte) netip.Addr {
	var quad [4]byte
	at, value, digits := 0, 0, 0
	for _, c := range text {
		switch {
		case '0' <= c && c <= '9' && digits < 3:
			value, digits = value*10+int(c-'0'), digits+1
		case c == '.' && digits > 0 && value < 256 && at < 3:
			quad[at] = byte(value)
			at, value, digits = at+1, 0, 0
		default:
			ip, err := netip.ParseAddr(string(text))
			if err != nil {
				return netip.Addr{}
			}
			return ip.Unmap()
		}
	}
	if at != 3 || digits == 0 || value > 255 {
		return netip.Addr{}
	}
	quad[3] = byte(value)
	return netip.AddrFrom4(quad)
}
