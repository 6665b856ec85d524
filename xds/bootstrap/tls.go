package bootstrap

import (
	"fmt"
	"path"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"breakwater.dev/xds/internal/connect"
	"breakwater.dev/xds/internal/message"
)

// TLS is how a proxy secures its connection to the control plane. Paths are on the proxy's own file system.
type TLS struct {
	CAFile            string // empty: the system's trust store
	CertFile, KeyFile string // the proxy's own certificate: both, or neither
	ServerName        string // empty: the host of XDS; where there are several, any of them
	// Directory is where the proxy finds the files of [Secrets], by which it notices new certificates. Empty: it reads
	// certificates once, when it starts.
	Directory string
}

// Names of the files of [Secrets], and of the secret in each.
const (
	trustFile         = "trust.yaml"
	certificateFile   = "certificate.yaml"
	trustOfProxy      = "control-plane-ca"
	certificateSecret = "proxy-certificate"
)

// File is a file that belongs to a bootstrap.
type File struct {
	Name string // without a directory
	Data []byte
}

// Secrets returns the files that a bootstrap with TLS and [TLS.Directory] refers to. They name certificates and hold none.
// Without TLS there are no files.
func Secrets(o Options) ([]File, error) {
	if o.TLS == nil {
		return nil, nil
	}
	secrets := map[string]*tlsv3.Secret{trustFile: connect.TrustSecret(trustOfProxy, connect.TrustFile(o.TLS.CAFile))}
	names := []string{trustFile}
	if o.TLS.CertFile != "" {
		names = append(names, certificateFile)
		// The two files may be in two directories. Without a watched_directory Envoy watches both.
		secrets[certificateFile] = &tlsv3.Secret{
			Name: certificateSecret, Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: o.TLS.certificate()},
		}
	}
	var files []File
	for _, name := range names {
		packed, err := message.Pack(secrets[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		text, err := message.YAML([]proto.Message{&discoveryv3.DiscoveryResponse{Resources: []*anypb.Any{packed}}})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files = append(files, File{Name: name, Data: text})
	}
	return files, nil
}

// socket secures the connections to some hosts. Any replica may serve any proxy, so one that proves to be another replica
// is as good. All get the same server name.
func (t TLS) socket(hosts []connect.Host) (*corev3.TransportSocket, error) {
	names, sni := []string{t.ServerName}, t.ServerName
	if t.ServerName == "" {
		names, sni = namesOf(hosts)
	}
	common := &tlsv3.CommonTlsContext{AlpnProtocols: []string{"h2"}}
	if t.Directory == "" {
		t.readOnce(common, names)
	} else {
		t.followFiles(common, names)
	}
	return connect.TLS(sni, common)
}

// namesOf returns the name of each host once, and the first that can be a server name, if there is one.
func namesOf(hosts []connect.Host) (names []string, sni string) {
	for _, h := range hosts {
		if !slices.Contains(names, h.Name) {
			names = append(names, h.Name)
		}
		if sni == "" && h.IsName() {
			sni = h.Name
		}
	}
	return names, sni
}

func (t TLS) readOnce(common *tlsv3.CommonTlsContext, names []string) {
	trust := connect.Named(names...)
	trust.TrustedCa = connect.File(connect.TrustFile(t.CAFile))
	common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: trust}
	if t.CertFile != "" {
		common.TlsCertificates = []*tlsv3.TlsCertificate{t.certificate()}
	}
}

func (t TLS) followFiles(common *tlsv3.CommonTlsContext, names []string) {
	common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
		CombinedValidationContext: connect.NamedBySecret(t.secret(trustOfProxy, trustFile), names...),
	}
	if t.CertFile != "" {
		common.TlsCertificateSdsSecretConfigs = []*tlsv3.SdsSecretConfig{t.secret(certificateSecret, certificateFile)}
	}
}

func (t TLS) certificate() *tlsv3.TlsCertificate {
	return &tlsv3.TlsCertificate{CertificateChain: connect.File(t.CertFile), PrivateKey: connect.File(t.KeyFile)}
}

func (t TLS) secret(name, file string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_PathConfigSource{PathConfigSource: &corev3.PathConfigSource{
			Path: path.Join(t.Directory, file), WatchedDirectory: &corev3.WatchedDirectory{Path: t.Directory},
		}},
		ResourceApiVersion: corev3.ApiVersion_V3,
	}}
}
