package policy

import "strings"

// notYet is one field that is refused. Removing its row is all it takes to allow it.
type notYet struct {
	path      string
	supported bool // what is written happens to be what is done anyway
	want      string
}

func upstreamNotYet(u *Upstream) []notYet {
	keyed := u.LoadBalancing.Policy == RingHash || u.LoadBalancing.Policy == Maglev
	return []notYet{
		// They spread by a hash of the request, which the language cannot name yet.
		{"spec.loadBalancing.policy", !keyed, "RoundRobin, LeastRequest or Random: the rest is not supported yet"},
	}
}

// refuseUnsupported reports the fields that were written, are well-formed, and would have no effect.
func (c *compiler) refuseUnsupported(written places, failed map[string]bool, table []notYet) {
	for _, n := range table {
		if at, ok := written[n.path]; ok && !n.supported && !malformed(failed, n.path) {
			c.fail(at, n.want, "unsupported")
		}
	}
}

// malformed tells whether a value, or anything in it, is reported already.
func malformed(failed map[string]bool, path string) bool {
	for f := range failed {
		if f == path || strings.HasPrefix(f, path+".") {
			return true
		}
	}
	return false
}
