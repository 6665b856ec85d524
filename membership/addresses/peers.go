package addresses

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Peers say where the replicas are. Make them with [Parse]. The zero value means that there are none.
type Peers struct {
	// List has the host:port of each replica, this one included.
	List []string
	// Name is a DNS name that has the addresses of all replicas, in the place of List, and Port is their port.
	Name, Port string
}

// Given reports whether there may be other replicas.
func (p *Peers) Given() bool { return len(p.List) > 0 || p.Name != "" }

// Parse reads a list of replicas. A single name is a DNS name that has the addresses of all of them; in a longer list, a name is one
// replica's.
func Parse(list []string) (Peers, error) {
	first := map[string]string{}
	for _, one := range list {
		host, port, err := net.SplitHostPort(one)
		if err != nil || host == "" {
			return Peers{}, fmt.Errorf("%q has to be host:port, such as %s", one, example(one))
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return Peers{}, fmt.Errorf("%q has to have a port from 1 to 65535, such as %s", one, example(host))
		}
		if other, twice := first[canonical(host, port)]; twice {
			if other == one {
				return Peers{}, fmt.Errorf("%q is there twice; each replica has one address in the list", one)
			}
			return Peers{}, fmt.Errorf("%q and %q are the same address; each replica has one in the list", other, one)
		}
		first[canonical(host, port)] = one
		if _, err := netip.ParseAddr(host); err != nil && len(list) == 1 {
			return Peers{Name: host, Port: port}, nil
		}
	}
	return Peers{List: list}, nil
}

// canonical returns the same text for texts that mean the same address.
func canonical(host, port string) string {
	n, _ := strconv.Atoi(port)
	if ip, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(ip.Unmap(), uint16(n)).String()
	}
	return strings.ToLower(strings.TrimSuffix(host, ".")) + ":" + strconv.Itoa(n)
}

// example returns an address that would be right in the place of a wrong one.
func example(wrong string) string {
	host := strings.Trim(strings.TrimSuffix(wrong, ":"), "[]")
	_, err := netip.ParseAddr(host)
	if host == "" || strings.ContainsAny(host, "[]") || strings.Contains(host, ":") && err != nil {
		host = "10.0.0.1"
	}
	return net.JoinHostPort(host, "18000")
}

// family returns the addresses of the same kind as the address at which this replica is reached: a replica with an IPv4 and an
// IPv6 address may listen at one of them only. A name says nothing of the kind; then it is IPv4 where there is one.
func family(found []netip.Addr, self string) (same []netip.Addr) {
	host, _, _ := net.SplitHostPort(self)
	own, err := netip.ParseAddr(host)
	six := err == nil && !own.Unmap().Is4()
	for _, ip := range found {
		if ip.Unmap().Is4() != six {
			same = append(same, ip.Unmap())
		}
	}
	if len(same) == 0 && err != nil {
		return found
	}
	return same
}
