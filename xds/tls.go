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

func upstreamTLS(u *policy.Upstream) (*corev3.TransportSocket, error) {
	alpn := "h2"
	if u.Protocol == policy.HTTP1 {
		alpn = "http/1.1"
	}
	return tlsSocket(tlsClient{Name: u.TLS.SNI, CAFile: u.TLS.CAFile, ALPN: alpn})
}

// tlsClient is one side of TLS connections that a proxy opens.
type tlsClient struct {
	Name              string // what the server has to prove to be, and the SNI unless it is an IP
	CAFile            string // empty: systemTrust
	CertFile, KeyFile string // empty: no client certificate
	ALPN              string
}

// tlsSocket verifies the server's certificate against the trust and the name.
// With no validation context Envoy would accept any certificate at all.
func tlsSocket(c tlsClient) (*corev3.TransportSocket, error) {
	ca := c.CAFile
	if ca == "" {
		ca = systemTrust
	}
	sni, san := c.Name, tlsv3.SubjectAltNameMatcher_DNS
	if _, err := netip.ParseAddr(c.Name); err == nil {
		// RFC 6066 section 3 allows no addresses as server name.
		sni, san = "", tlsv3.SubjectAltNameMatcher_IP_ADDRESS
	}
	common := &tlsv3.CommonTlsContext{
		AlpnProtocols: []string{c.ALPN},
		ValidationContextType: &tlsv3.CommonTlsContext_ValidationContext{
			ValidationContext: &tlsv3.CertificateValidationContext{
				TrustedCa: fileSource(ca),
				MatchTypedSubjectAltNames: []*tlsv3.SubjectAltNameMatcher{{
					SanType: san, Matcher: exactly(c.Name),
				}},
			},
		},
	}
	if c.CertFile != "" {
		common.TlsCertificates = []*tlsv3.TlsCertificate{{
			CertificateChain: fileSource(c.CertFile), PrivateKey: fileSource(c.KeyFile),
		}}
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

func fileSource(path string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_Filename{Filename: path}}
}
