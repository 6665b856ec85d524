package main

import (
	"errors"
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
		Use:   "render PATH...",
		Short: "Print the Envoy resources that policies mean",
		Long: strings.TrimSpace(`
Render prints what a proxy would be sent: clusters, endpoints, listeners, routes, and
the secrets that name CA files, as one YAML document each or as one JSON array.

It does not show everything that a policy says. Thresholds, rates and waits of a breaker
are used in the control plane and never sent to a proxy, so changing them prints the
same bytes. To compare two revisions, compare their policy files.`),
		Example: "  breakwater render policies/ --output yaml\n  helm template shop | breakwater render -",
		PreRunE: func(*cobra.Command, []string) error { return oneOf("output", output, "yaml", "json") },
		RunE: func(c *cobra.Command, more []string) error {
			paths, err := policyPaths(paths, more)
			if err != nil {
				return err
			}
			address, err := netip.ParseAddrPort(listen)
			if err != nil {
				return usageError{fmt.Errorf("--listen = %q; must be an IP address and port", listen)}
			}
			set, diagnostics := load(c, paths)
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
	policyFlag(c, &paths)
	c.Flags().StringVar(&listen, "listen", xds.DefaultListen.String(), "`address` that the proxy listens on")
	outputFlag(c, &output, "yaml", "yaml", "json")
	return c
}

// policyFlag adds --policy, which says the same as a PATH.
func policyFlag(c *cobra.Command, paths *[]string) {
	c.Flags().StringArrayVar(paths, "policy", nil, "`directory` or file with policies, as PATH; may be given several times")
	completeFiles(c, "policy")
}

// policyPaths returns the paths of --policy and the ones given as arguments.
func policyPaths(flags, args []string) ([]string, error) {
	all := append(slices.Clone(flags), args...)
	if len(all) == 0 {
		return nil, usageError{errors.New("no policy; name a directory or file with policies")}
	}
	return all, nil
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
