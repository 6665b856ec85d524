package cluster

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"breakwater.dev/policy"
	"breakwater.dev/xds/internal/connect"
)

// upstreamTLS secures the connections to an upstream. The CAs to trust come in a secret: see [Secret].
func upstreamTLS(u *policy.Upstream) (*corev3.TransportSocket, error) {
	var alpn []string // TCP: none, since only the application knows what it speaks
	switch u.Protocol {
	case policy.HTTP1:
		alpn = []string{"http/1.1"}
	case policy.HTTP2, policy.GRPC:
		alpn = []string{"h2"}
	}
	return connect.TLS(u.TLS.SNI, &tlsv3.CommonTlsContext{
		AlpnProtocols: alpn,
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: connect.NamedBySecret(&tlsv3.SdsSecretConfig{
				Name: SecretName(u), SdsConfig: connect.OverADS(),
			}, u.TLS.SNI),
		},
	})
}
