// Command breakwater is the control plane: it gives a mesh of Envoy proxies real
// circuit breakers, from policies in YAML.
//
// In: flags, policy files, signals.
// Out: a running server, or one answer on standard output; exit code 0 fine, 1 problems found, 2 wrong usage.
// Called by: operators, and programs that run containers.
// Never: decides anything that a package could decide.
// Concurrency: one command a process.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"breakwater.dev/internal/cli"
	"breakwater.dev/policy"
)

// version is set by the linker.
var version = "dev"

// Exit codes.
const (
	exitProblems = 1
	exitUsage    = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its surroundings handed in; it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int { return runWith(os.Stdin, args, stdout, stderr) }

func runWith(stdin io.Reader, args []string, stdout, stderr io.Writer) int {
	began := false // a command has begun its work: an error from here on is not about usage
	root := rootCommand(&began)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	command, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	var diagnostics policy.Diagnostics
	var usage usageError
	switch {
	case errors.Is(err, errFound):
	case errors.As(err, &diagnostics):
		fmt.Fprintln(stderr, diagnostics.Error())
		fmt.Fprintf(stderr, "%s found\n", cli.Plural(len(diagnostics), "problem"))
	case began && !errors.As(err, &usage):
		fmt.Fprintf(stderr, "breakwater: %v\n", err)
	default:
		fmt.Fprintf(stderr, "breakwater: %v\nSee '%s --help'.\n", err, command.CommandPath())
		return exitUsage
	}
	return exitProblems
}

// usageError is a mistake in flags that only the command itself could see.
type usageError struct{ error }

func rootCommand(began *bool) *cobra.Command {
	root := &cobra.Command{
		Use:   "breakwater",
		Short: "Real circuit breakers for a mesh of Envoy proxies",
		Long: strings.TrimSpace(`
Breakwater gives a mesh of Envoy proxies real circuit breakers: closed, open and
half-open with a bounded number of probes, from policies in YAML.

  breakwater validate policies/                check policies, as a reviewer or CI would
  breakwater serve --policy policies/          run the control plane
  breakwater bootstrap --node-id shop-1 ...    print the bootstrap of an Envoy sidecar
  breakwater breakers list                     see the breakers of a control plane

Exit codes: 0 fine, 1 problems found, 2 wrong usage.`),
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          subcommand,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.AddCommand(versionCommand(), serveCommand(), validateCommand(), renderCommand(), bootstrapCommand(), breakersCommand(), replicasCommand())
	for _, c := range root.Commands() {
		tellBeginning(c, began)
	}
	return root
}

// versionCommand prints the same as --version.
func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Print the version",
		Example:           "  breakwater version",
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(c.OutOrStdout(), "breakwater version %s\n", version)
			return err
		},
	}
}

// subcommand checks the arguments of a command that only has other commands below it. cobra suggests
// names only where it checks the arguments itself, and then only for the root.
func subcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	err := fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("%w; did you mean %s?", err, strings.Join(near, " or "))
	}
	return err
}

// tellBeginning has a command, and those below it, say when their work begins.
func tellBeginning(c *cobra.Command, began *bool) {
	work := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		*began = true
		return work(c, args)
	}
	for _, below := range c.Commands() {
		tellBeginning(below, began)
	}
}
