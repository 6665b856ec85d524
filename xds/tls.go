package xds

import (
	"net/netip"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"breakwater.dev/policy"
)

// systemTrust is the trust store of Debian, Ubuntu, Alpine, distroless and the
// official Envoy images. Envoy 1.40 has no setting for "the system's": it ignores
// the field system_root_certs.
const systemTrust = "/etc/ssl/certs/ca-certificates.crt"

func trustOf(caFile string) string {
	if caFile == "" {
		return systemTrust
	}
	return caFile
}

func upstreamTLS(u *policy.Upstream) (*corev3.TransportSocket, error) {
	alpn := "h2"
	if u.Protocol == policy.HTTP1 {
		alpn = "http/1.1"
	}
	return tlsSocket(u.TLS.SNI, &tlsv3.CommonTlsContext{
		AlpnProtocols: []string{alpn},
		ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: trustBySecret(u.TLS.SNI, &tlsv3.SdsSecretConfig{
				Name: secretName(u), SdsConfig: overADS(),
			}),
		},
	})
}

// tlsSocket is the proxy's side of connections to a server that has to prove to be
// name, which is the server name (SNI) too, unless it is an IP.
func tlsSocket(name string, common *tlsv3.CommonTlsContext) (*corev3.TransportSocket, error) {
	sni := name
	if isAddress(name) {
		sni = "" // RFC 6066 section 3 allows no addresses as server name
	}
	packed, err := pack(&tlsv3.UpstreamTlsContext{CommonTlsContext: common, Sni: sni})
	if err != nil {
		return nil, err
	}
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed},
	}, nil
}

// provesToBe demands a name of the server's certificate. With no validation context
// Envoy would accept any certificate at all. It compares addresses as texts, so
// they have to be in the form in which it writes those of a certificate.
func provesToBe(name string) *tlsv3.CertificateValidationContext {
	san := tlsv3.SubjectAltNameMatcher_DNS
	if ip, err := netip.ParseAddr(name); err == nil {
		san, name = tlsv3.SubjectAltNameMatcher_IP_ADDRESS, ip.Unmap().String()
	}
	return &tlsv3.CertificateValidationContext{
		MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{{SanType: san, Matcher: exactly(name)}},
	}
}

// trustBySecret demands the name, and takes the CA from a secret. Until Envoy has the
// secret it makes no connection.
func trustBySecret(name string, secret *tlsv3.SdsSecretConfig) *tlsv3.CommonTlsContext_CombinedCertificateValidationContext {
	return &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
		DefaultValidationContext: provesToBe(name), ValidationContextSdsSecretConfig: secret,
	}
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}

func fileSource(path string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: path}}
}
