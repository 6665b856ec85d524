package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"breakwater.dev/policy"
	"breakwater.dev/xds"
)

func bootstrapCommand() *cobra.Command {
	var o xds.BootstrapOptions
	var tls xds.BootstrapTLS
	var listen, admin string
	c := &cobra.Command{
		Use:   "bootstrap --node-id ID --node-cluster NAME",
		Short: "Print the bootstrap of an Envoy sidecar",
		Long: strings.TrimSpace(`
Bootstrap prints a complete Envoy configuration for one proxy, to be run with
'envoy -c FILE'. Everything but the connection to the control plane then comes from there.

One file serves many pods: give each its own id with Envoy's --service-node.`),
		Example: "  breakwater bootstrap --node-id shop-1 --node-cluster shop --upstreams payments,stock > envoy.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if o.Listen, err = netip.ParseAddrPort(listen); err != nil {
				return usageError{fmt.Errorf("--listen = %q; must be an IP address and port", listen)}
			}
			if o.Admin, err = netip.ParseAddrPort(admin); err != nil {
				return usageError{fmt.Errorf("--admin = %q; must be an IP address and port", admin)}
			}
			if tls != (xds.BootstrapTLS{}) {
				o.TLS = &tls
			}
			text, err := xds.Bootstrap(o)
			if err != nil {
				return usageError{err}
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.NodeID, "node-id", "", "the proxy's `id`, unique in the mesh")
	f.StringVar(&o.NodeCluster, "node-cluster", "", "the `workload` that the proxy belongs to")
	f.StringVar(&o.XDS, "xds", "127.0.0.1:18000", "`host:port` of the control plane")
	f.StringVar(&listen, "listen", xds.DefaultListen.String(), "`address` that applications send to")
	f.StringVar(&admin, "admin", fmt.Sprintf("127.0.0.1:%d", policy.AdminPort), "`address` of Envoy's admin interface")
	f.StringSliceVar(&o.Upstreams, "upstreams", nil, "`names` of the upstreams that the workload calls; without it the proxy gets all")
	f.StringVar(&tls.CAFile, "tls-ca", "", "`path`, on the proxy, of the CA that signed the control plane's certificate")
	f.StringVar(&tls.CertFile, "tls-cert", "", "`path`, on the proxy, of its own certificate")
	f.StringVar(&tls.KeyFile, "tls-key", "", "`path`, on the proxy, of its own key")
	f.StringVar(&tls.ServerName, "tls-server-name", "", "`name` in the control plane's certificate, where it is not the host of --xds")
	require(c, "node-id", "node-cluster")
	return c
}
