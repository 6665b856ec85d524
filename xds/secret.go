package xds

import (
	"google.golang.org/protobuf/proto"

	"breakwater.dev/policy"
	"breakwater.dev/xds/internal/connect"
)

// secretName is the same for all upstreams that trust the same file, so that a proxy
// reads and watches it once.
func secretName(u *policy.Upstream) string { return "ca:" + connect.TrustFile(u.TLS.CAFile) }

// addTrust adds the secret of the CA that an upstream's certificate is held against.
func (d *draft) addTrust(u *policy.Upstream) error {
	if u.TLS == nil {
		return nil
	}
	name := secretName(u)
	if d.rs.Has(SecretType, name) {
		return nil
	}
	return d.share("secret "+name, func() (string, proto.Message, error) {
		return name, connect.TrustSecret(name, connect.TrustFile(u.TLS.CAFile)), nil
	})
}
