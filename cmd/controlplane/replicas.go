package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"breakwater.dev/internal/cli"
)

func replicasCommand() *cobra.Command {
	var p controlPlane
	var output string
	c := &cobra.Command{
		Use:   "replicas",
		Short: "See the control planes that share their breakers",
		Long: strings.TrimSpace(`
Replicas asks a running control plane which others share its breakers (serve --store or --peers), whether it
reaches them, and how many breakers each owns. The owner of a breaker decides about it; the others
forward what their proxies report, and know its state. Which one owns a breaker is in the column
OWNER of 'breakwater breakers list'.

Where some are not reached, standard error says so: then this control plane decides about their
breakers by what its own side knows, and gives no permits for probes of them.`),
		Example: "  breakwater replicas\n  breakwater replicas --server 10.0.0.7:18080 --output json",
		Args:    cobra.NoArgs,
		PreRunE: func(*cobra.Command, []string) error { return oneOf("output", output, "table", "json") },
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := p.client("", false)
			if err != nil {
				return err
			}
			all, answer, err := client.Replicas(c.Context())
			switch {
			case err != nil:
				return p.advise(err)
			case all == nil:
				return errors.New("this control plane shares its breakers with no other: it was started without --store and --peers")
			case output == "json":
				return cli.WriteJSON(c.OutOrStdout(), all)
			}
			if answer.By != nil {
				fmt.Fprintf(c.ErrOrStderr(), "answered by %s: %s\n", answer.By.Name, all.View)
			}
			return cli.WriteReplicas(c.OutOrStdout(), all)
		},
	}
	p.flags(c)
	outputFlag(c, &output, "table", "table", "json")
	return c
}
