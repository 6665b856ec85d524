package policy

import "strings"

// notYet is a field that is refused. To allow it, remove its row.
type notYet struct {
	path      string
	supported bool // the value that was written is the only one that works
	want      string
}

func upstreamNotYet(u *Upstream) []notYet {
	keyed := u.LoadBalancing.Policy == RingHash || u.LoadBalancing.Policy == Maglev
	return []notYet{
		// These need a hash of the request, which the language cannot name yet.
		{"spec.loadBalancing.policy", !keyed, "RoundRobin, LeastRequest or Random: the rest is not supported yet"},
	}
}

// refuseUnsupported reports fields that are written and well-formed, but would have no effect.
func (fs *findings) refuseUnsupported(written places, failed map[string]bool, table []notYet) {
	for _, n := range table {
		if at, ok := written[n.path]; ok && !n.supported && !malformed(failed, n.path) {
			fs.fail(at, n.want, "unsupported")
		}
	}
}

// malformed reports whether a value, or a part of it, was reported already.
func malformed(failed map[string]bool, path string) bool {
	for f := range failed {
		if f == path || strings.HasPrefix(f, path+".") {
			return true
		}
	}
	return false
}
