package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"breakwater.dev/xds"
)

func renderCommand() *cobra.Command {
	var paths []string
	var output, listen string
	c := &cobra.Command{
		Use:   "render --policy DIR",
		Short: "Print the Envoy resources that policies mean",
		Long: strings.TrimSpace(`
Render prints what a proxy would be sent: clusters, endpoints, the listener and
the routes, as one YAML document each or as one JSON array.

It does not show everything that a policy says. Thresholds, rates and waits of a breaker
are used in the control plane and never sent to a proxy, so changing them prints the
same bytes. To compare two revisions, compare their policy files.`),
		Example: "  breakwater render --policy policies/ --output yaml",
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error { return oneOf("output", output, "yaml", "json") },
		RunE: func(c *cobra.Command, _ []string) error {
			address, err := netip.ParseAddrPort(listen)
			if err != nil {
				return usageError{fmt.Errorf("--listen = %q; must be an IP address and port", listen)}
			}
			set, diagnostics := load(paths)
			if len(diagnostics) > 0 {
				return diagnostics
			}
			resources, err := xds.Translate(set, address)
			if err != nil {
				return err
			}
			text, err := xds.Render(resources, output)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(text)
			return err
		},
	}
	c.Flags().StringArrayVar(&paths, "policy", nil, "`directory` or file with policies; may be given several times")
	c.Flags().StringVar(&listen, "listen", xds.DefaultListen.String(), "`address` that the proxy listens on")
	outputFlag(c, &output, "yaml", "yaml", "json")
	require(c, "policy")
	completeFiles(c, "policy")
	return c
}

// outputFlag adds --output, with completion.
func outputFlag(c *cobra.Command, value *string, def string, formats ...string) {
	c.Flags().StringVarP(value, "output", "o", def, "format: "+strings.Join(formats, " or "))
	complete := func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return formats, cobra.ShellCompDirectiveNoFileComp
	}
	if err := c.RegisterFlagCompletionFunc("output", complete); err != nil {
		panic(fmt.Sprintf("completion of --output of %s: %v", c.Name(), err))
	}
}

// oneOf checks a flag that has a few values.
func oneOf(flag, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return usageError{fmt.Errorf("--%s = %q; must be %s", flag, value, strings.Join(allowed, " or "))}
}
