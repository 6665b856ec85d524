package connect

import (
	"cmp"
	"net/netip"
	"path"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"breakwater.dev/xds/internal/message"
)

// systemTrust is the trust store of Debian, Ubuntu, Alpine, distroless and the official Envoy images. Envoy 1.40 has no
// setting for the system's trust store: it ignores the field system_root_certs.
const systemTrust = "/etc/ssl/certs/ca-certificates.crt"

// TrustFile returns the file of the CAs to trust: the given one, or the system's trust store where none is given.
func TrustFile(caFile string) string { return cmp.Or(caFile, systemTrust) }

// TLS is the proxy's side of connections to a server by a name, which is sent as server name (SNI) unless it is an IP.
func TLS(name string, common *tlsv3.CommonTlsContext) (*corev3.TransportSocket, error) {
	sni := name
	if isAddress(name) {
		sni = "" // RFC 6066 section 3 allows no addresses as server name
	}
	packed, err := message.Pack(&tlsv3.UpstreamTlsContext{CommonTlsContext: common, Sni: sni})
	if err != nil {
		return nil, err
	}
	return &corev3.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed},
	}, nil
}

// Named demands that the server's certificate is for one of some names. With no validation context Envoy would accept any
// certificate at all. It compares addresses as texts, so they have the form in which Envoy writes the addresses of a
// certificate.
func Named(names ...string) *tlsv3.CertificateValidationContext {
	c := &tlsv3.CertificateValidationContext{}
	for _, name := range names {
		san := tlsv3.SubjectAltNameMatcher_DNS
		if ip, err := netip.ParseAddr(name); err == nil {
			san, name = tlsv3.SubjectAltNameMatcher_IP_ADDRESS, ip.Unmap().String()
		}
		c.MatchTypedSubjectAltNames = append(c.MatchTypedSubjectAltNames, &tlsv3.SubjectAltNameMatcher{
			SanType: san, Matcher: message.Exactly(name),
		})
	}
	return c
}

// NamedBySecret is [Named] with the CAs of a secret. Until Envoy has the secret it makes no connection.
func NamedBySecret(secret *tlsv3.SdsSecretConfig, names ...string) *tlsv3.CommonTlsContext_CombinedCertificateValidationContext {
	return &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
		DefaultValidationContext: Named(names...), ValidationContextSdsSecretConfig: secret,
	}
}

// TrustSecret returns a secret that names the file of the CAs to trust. Nothing secret is in it. Envoy reads a file that a
// cluster names only once, when it makes the cluster. It reads a file that a secret names again when something is renamed
// in the file's directory, as the kubelet does when it swaps ..data. Writing into the file itself is not noticed.
func TrustSecret(name, caFile string) *tlsv3.Secret {
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{
		ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: File(caFile), WatchedDirectory: &corev3.WatchedDirectory{Path: path.Dir(caFile)},
		},
	}}
}

// File returns the content of a file on the proxy's own file system.
func File(name string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: name}}
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}
