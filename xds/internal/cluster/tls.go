package cluster

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"breakwater.dev/policy"
	"breakwater.dev/xds/internal/connect"
)

// upstreamTLS secures the connections to an upstream. The CAs to trust come in a secret: see [Secret].
func upstreamTLS(u *policy.Upstream) (*corev3.TransportSocket, error) {
	alpn := "h2"
	if u.Protocol == policy.HTTP1 {
		alpn = "http/1.1"
	}
	return connect.TLS(u.TLS.SNI, &tlsv3.CommonTlsContext{
		AlpnProtocols: []string{alpn},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: connect.NamedBySecret(u.TLS.SNI, &tlsv3.SdsSecretConfig{
				Name: SecretName(u), SdsConfig: connect.OverADS(),
			}),
		},
	})
}
