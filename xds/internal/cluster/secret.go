package cluster

import (
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"breakwater.dev/policy"
	"breakwater.dev/xds/internal/connect"
)

// SecretName returns the name of the secret that the cluster of an upstream refers to; "" if the upstream has no TLS. All
// upstreams that trust the same file have the same secret, so that a proxy reads and watches the file once.
func SecretName(u *policy.Upstream) string {
	if u.TLS == nil {
		return ""
	}
	return "ca:" + connect.TrustFile(u.TLS.CAFile)
}

// Secret returns the secret that the cluster of an upstream with TLS refers to: the CAs that may sign the upstream's
// certificate.
func Secret(u *policy.Upstream) *tlsv3.Secret {
	return connect.TrustSecret(SecretName(u), connect.TrustFile(u.TLS.CAFile))
}
