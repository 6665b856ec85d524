package xds

import (
	"path"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/policy"
)

// Secrets name files on the proxy; nothing secret is in them. Envoy reads a file that a
// cluster names only once, when it makes the cluster. One that a secret names it reads
// again when something is renamed in the file's directory, which is what the kubelet does
// when it swaps ..data. Writing into the file itself is not noticed.

// secretName is the same for all upstreams that trust the same file, so that a proxy
// reads and watches it once.
func secretName(u *policy.Upstream) string { return "ca:" + trustOf(u.TLS.CAFile) }

// addTrust adds the secret of the CA that an upstream's certificate is held against.
func (d *draft) addTrust(u *policy.Upstream) error {
	if u.TLS == nil {
		return nil
	}
	name := secretName(u)
	if d.rs.Has(SecretType, name) {
		return nil
	}
	return d.share("secret "+name, func() (string, proto.Message, error) { return name, trustSecret(name, trustOf(u.TLS.CAFile)), nil })
}

func trustSecret(name, caFile string) *tlsv3.Secret {
	return &tlsv3.Secret{Name: name, Type: &tlsv3.Secret_ValidationContext{
		ValidationContext: &tlsv3.CertificateValidationContext{
			TrustedCa: fileSource(caFile), WatchedDirectory: directoryOf(caFile),
		},
	}}
}

func directoryOf(file string) *corev3.WatchedDirectory {
	return &corev3.WatchedDirectory{Path: path.Dir(file)}
}
