package main

import (
	"fmt"
	"net"
	"strings"
)

// fallback is the fallback of each breaker. The services of the bench answer with 200 and 500 only.
const fallback = "fallback: {response: {status: 503, body: rejected}}"

// upstreams returns the policy of n upstreams that lead to one service, and of their breakers. fields are the fields of a
// BreakerPolicy's spec after its target.
func upstreams(prefix string, n int, service string, fields ...string) string {
	host, port, _ := net.SplitHostPort(service)
	var text strings.Builder
	for i := range n {
		name := fmt.Sprintf("%s-%d", prefix, i+1)
		fmt.Fprintf(&text, "---\napiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: %s}\n"+
			"spec: {endpoints: [{address: %s, port: %s}], protocol: HTTP1}\n", name, host, port)
		fmt.Fprintf(&text, "---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: %[1]s}\n"+
			"spec:\n  targetRefs: [{kind: Upstream, name: %[1]s}]\n  %s\n", name, strings.Join(append(fields, fallback), "\n  "))
	}
	return text.String()
}
