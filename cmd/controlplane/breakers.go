package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"breakwater.dev/api"
	"breakwater.dev/internal/cli"
)

// states are the words for the state of a breaker.
func states() []string {
	var words []string
	for _, s := range api.States() {
		words = append(words, string(s))
	}
	return words
}

func breakersCommand() *cobra.Command {
	var p controlPlane
	c := &cobra.Command{
		Use:   "breakers",
		Short: "See the breakers of a control plane, and change them by hand",
		Long: strings.TrimSpace(`
Breakers asks a running control plane over HTTP. KEY names a breaker as the first
column of list does: SERVICE, SERVICE/ROUTE, or with @NODE at its end where each
proxy has one of its own.`),
		Example: `  breakwater breakers list --state open
  breakwater breakers watch
  breakwater breakers force payments open --reason 'moving the database' --for 10m
  breakwater breakers reset payments --reason 'the database is back'`,
		Args: subcommand,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	p.flags(c)
	if err := c.MarkPersistentFlagFilename("ca-file"); err != nil {
		panic(fmt.Sprintf("completion of --ca-file of breakers: %v", err))
	}
	c.AddCommand(breakersListCommand(&p), breakersWatchCommand(&p), breakersForceCommand(&p), breakersResetCommand(&p))
	return c
}

func breakersListCommand(p *controlPlane) *cobra.Command {
	var s cli.Selection
	var state, output string
	c := &cobra.Command{
		Use:   "list [KEY...]",
		Short: "List breakers",
		Long: strings.TrimSpace(`
List prints all breakers, or those that are named.

SINCE is for how long the state has lasted. CALLS, FAILURES and SLOW are those in the
window; of an open breaker, the ones that were in it when it opened. REASON is that
of the last change, FORCED who holds the breaker in its state by hand, until when and why. CAUSE is
what ended the closed state, with the window that it judged by; probes that fail and restarts do
not replace it. A mode beside the state says that nobody heeds it (MetricsOnly, Disabled).

Which control plane answers, and how many proxies it has, is on standard error. Of several that
share a store (serve --store) each answers for all, and OWNER is the one that decides about
the breaker. Of others each knows its own proxies alone.`),
		Example: "  breakwater breakers list\n  breakwater breakers list payments stock --output json",
		Args:    keys,
		PreRunE: func(*cobra.Command, []string) error {
			if state != "" {
				if err := oneOf("state", state, states()...); err != nil {
					return err
				}
			}
			return oneOf("output", output, "table", "json")
		},
		RunE: func(c *cobra.Command, keys []string) error {
			client, err := p.client("", false)
			if err != nil {
				return err
			}
			s.Keys, s.State, s.JSON = keys, api.State(state), output == "json"
			l, err := cli.List(c.Context(), client, s)
			if err != nil {
				return p.advise(err)
			}
			if l.By != nil && !s.JSON {
				fmt.Fprintf(c.ErrOrStderr(), "answered by %s\n", cli.AnsweredBy(l.By))
			}
			return l.Write(c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&state, "state", "", "only those that are `closed`, half_open or open")
	c.Flags().BoolVar(&s.Forced, "forced", false, "only those that are held in their state by hand or by their policy")
	outputFlag(c, &output, "table", "table", "json")
	completeWords(c, "state", states())
	c.ValidArgsFunction = p.completeKeys
	return c
}

// keys checks arguments that are all names of breakers.
func keys(_ *cobra.Command, args []string) error {
	for _, key := range args {
		if err := checkKey(key); err != nil {
			return err
		}
	}
	return nil
}

// checkKey refuses what cannot name a breaker.
func checkKey(key string) error {
	if api.ValidKey(key) {
		return nil
	}
	return fmt.Errorf("KEY = %q; must be SERVICE, SERVICE/ROUTE, or one of them with @NODE", key)
}

// completeWords has a shell complete a flag that has a few values.
func completeWords(c *cobra.Command, flag string, words []string) {
	complete := func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
	if err := c.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(fmt.Sprintf("completion of --%s of %s: %v", flag, c.Name(), err))
	}
}
