package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"breakwater.dev/wire"
	"breakwater.dev/xds/bootstrap"
)

// socketPrefix marks the value of --admin that is a Unix socket.
const socketPrefix = "unix:"

// bootstrapFlags are those that need a look before they are options.
type bootstrapFlags struct {
	listen, admin, ready string
	tls                  bootstrap.TLS
	outputDir, configDir string
}

func bootstrapCommand() *cobra.Command {
	var o bootstrap.Options
	var flags bootstrapFlags
	c := &cobra.Command{
		Use:   "bootstrap --node-id ID --node-cluster NAME",
		Short: "Print the bootstrap of an Envoy sidecar",
		Long:  strings.TrimSpace(bootstrapHelp),
		Example: "  breakwater bootstrap --node-id shop-1 --node-cluster shop --upstreams payments,stock > envoy.yaml\n" +
			"  breakwater bootstrap --node-id shop-1 --node-cluster shop --xds 10.0.0.1:18000,10.0.0.2:18000 > envoy.yaml\n" +
			"  breakwater bootstrap --node-id shop-1 --node-cluster shop --tls-ca /etc/tls/ca.crt \\\n" +
			"    --tls-cert /etc/tls/tls.crt --tls-key /etc/tls/tls.key --output-dir /etc/envoy",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := flags.fill(&o); err != nil {
				return usageError{err}
			}
			if flags.outputDir != "" {
				return flags.write(o)
			}
			text, err := bootstrap.YAML(o)
			if err != nil {
				return usageError{err}
			}
			if o.TLS != nil {
				fmt.Fprintln(c.ErrOrStderr(), "note: with this bootstrap Envoy reads its certificates once, when it starts; "+
					"give --output-dir for one by which it takes up new ones")
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.NodeID, "node-id", "", "the proxy's `id`, unique in the mesh")
	f.StringVar(&o.NodeCluster, "node-cluster", "", "the `workload` that the proxy belongs to")
	f.StringSliceVar(&o.XDS, "xds", []string{"127.0.0.1:18000"}, "`host:port` of the control plane: of each replica, with commas between them, or of a name with all their addresses")
	f.StringVar(&flags.listen, "listen", fmt.Sprintf("127.0.0.1:%d", wire.EgressPort), "`address` that applications send to")
	f.StringVar(&flags.admin, "admin", fmt.Sprintf("127.0.0.1:%d", wire.AdminPort), "`address` of Envoy's admin interface, or unix:PATH for a socket that only Envoy's own user may use")
	f.StringVar(&flags.ready, "ready", "", "`address` where GET /ready answers 200 while applications can send, for a probe that cannot reach --listen (default none)")
	f.StringSliceVar(&o.Upstreams, "upstreams", nil, "`names` of the upstreams that the workload calls; without it the proxy gets all")
	f.StringVar(&flags.tls.CAFile, "tls-ca", "", "`path`, on the proxy, of the CA that signed the control plane's certificate")
	f.StringVar(&flags.tls.CertFile, "tls-cert", "", "`path`, on the proxy, of its own certificate")
	f.StringVar(&flags.tls.KeyFile, "tls-key", "", "`path`, on the proxy, of its own key")
	f.StringVar(&flags.tls.ServerName, "tls-server-name", "", "`name` in the control plane's certificate, where it is not a host of --xds")
	f.StringVar(&flags.outputDir, "output-dir", "", "`directory` to write the files to, in place of standard output: envoy.yaml, and with TLS those by which Envoy notices new certificates")
	f.StringVar(&flags.configDir, "config-dir", "", "`directory`, on the proxy, where it finds the files of --output-dir (default the absolute path of --output-dir)")
	completeWords(c, "xds", nil) // no files
	require(c, "node-id", "node-cluster")
	return c
}

const bootstrapHelp = `
Bootstrap prints a complete Envoy configuration for one proxy, to be run with
'envoy -c FILE'. Everything but the connection to the control plane then comes from there.

With replicas of the control plane give --xds the address of each, or one name with the
addresses of all. The proxy spreads over them what it asks, and leaves out for a while those that do not
answer. Replicas have to share their breakers, by --store or --peers of 'breakwater serve'.

One file serves many pods: give each its own id with Envoy's --service-node.

With TLS give --output-dir: Envoy takes up new certificates only if they are named by
files of their own, which are written beside envoy.yaml. A bootstrap on standard output
is one file, whose certificates Envoy reads once, when it starts. New certificates have to be put in place
by a rename, as 'mv' does within a file system and the kubelet does; Envoy does not
notice a file that is written to.`

// fill puts the flags into the options.
func (f *bootstrapFlags) fill(o *bootstrap.Options) error {
	var err error
	if o.Listen, err = netip.ParseAddrPort(f.listen); err != nil {
		return fmt.Errorf("--listen = %q; must be an IP address and port", f.listen)
	}
	if socket, ok := strings.CutPrefix(f.admin, socketPrefix); ok {
		if !filepath.IsAbs(socket) {
			return fmt.Errorf("--admin = %q; must be unix: and an absolute path", f.admin)
		}
		o.AdminSocket = socket
	} else if o.Admin, err = netip.ParseAddrPort(f.admin); err != nil {
		return fmt.Errorf("--admin = %q; must be an IP address and port, or unix: and an absolute path", f.admin)
	}
	if f.ready != "" {
		if o.Ready, err = netip.ParseAddrPort(f.ready); err != nil {
			return fmt.Errorf("--ready = %q; must be an IP address and port", f.ready)
		}
	}
	if !trimmed(o.XDS) {
		return fmt.Errorf("--xds = %q; must be host:port of each replica, with commas between them", strings.Join(o.XDS, ","))
	}
	if !trimmed(o.Upstreams) {
		return fmt.Errorf("--upstreams = %q; must be names, with commas between them", strings.Join(o.Upstreams, ","))
	}
	if f.configDir != "" && f.outputDir == "" {
		return fmt.Errorf("--config-dir = %q without --output-dir; it says where the files of that are on the proxy", f.configDir)
	}
	if f.configDir != "" && !filepath.IsAbs(f.configDir) {
		return fmt.Errorf("--config-dir = %q; must be an absolute path, on the machine of the proxy", f.configDir)
	}
	if f.tls == (bootstrap.TLS{}) {
		return nil
	}
	o.TLS = &f.tls
	if f.outputDir != "" {
		if o.TLS.Directory, err = filepath.Abs(cmp.Or(f.configDir, f.outputDir)); err != nil {
			return fmt.Errorf("--output-dir: %w", err)
		}
	}
	return nil
}

// trimmed removes spaces around each value of a list, and reports whether something is left of each.
func trimmed(list []string) bool {
	for i, v := range list {
		list[i] = strings.TrimSpace(v)
	}
	return !slices.Contains(list, "")
}

// write writes the bootstrap and what belongs to it. Each file is put in place by a
// rename, the bootstrap last.
func (f *bootstrapFlags) write(o bootstrap.Options) error {
	text, err := bootstrap.YAML(o)
	if err != nil {
		return usageError{err}
	}
	files, err := bootstrap.Secrets(o)
	if err != nil {
		return usageError{err}
	}
	if err := os.MkdirAll(f.outputDir, 0o755); err != nil {
		return fmt.Errorf("--output-dir: %w", err)
	}
	for _, file := range append(files, bootstrap.File{Name: "envoy.yaml", Data: text}) {
		path := filepath.Join(f.outputDir, file.Name)
		if err := os.WriteFile(path+".new", file.Data, 0o644); err != nil {
			return fmt.Errorf("--output-dir: %w", err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			return fmt.Errorf("--output-dir: %w", err)
		}
	}
	return nil
}
