package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"breakwater.dev/internal/cli"
	"breakwater.dev/policy"
	"breakwater.dev/sources/files"
	"breakwater.dev/xds"
)

// errFound says that problems were found and have been printed.
var errFound = errors.New("the policy has problems")

func validateCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "validate PATH...",
		Short: "Check policies",
		Long: strings.TrimSpace(`
Validate reads policies as serve would and prints every problem, one a line:

  file:line:col: path = got; must be want [rule]

All paths together are one policy: targets may be in another file. A path may be a
directory, a file, a pipe, or - for standard input. It exits with 1 when there are
problems. When there are none it prints a summary, and notes on what is right and may surprise.`),
		Example: "  breakwater validate policies/\n  breakwater validate upstreams.yaml breakers.yaml --output json\n" +
			"  helm template shop | breakwater validate -",
		Args:    cobra.MinimumNArgs(1),
		PreRunE: func(*cobra.Command, []string) error { return oneOf("output", output, "text", "json") },
		RunE: func(c *cobra.Command, paths []string) error {
			set, diagnostics := load(c, paths)
			if output == "json" {
				return validateJSON(c, diagnostics)
			}
			if len(diagnostics) > 0 {
				return diagnostics
			}
			if _, err := xds.Translate(set, xds.DefaultListen); err != nil {
				return err
			}
			text := fmt.Sprintf("%s, %s: no problems (revision %s)\n", cli.Plural(len(set.Upstreams), "upstream"), cli.Plural(len(set.Specs()), "breaker"), set.Revision)
			for _, note := range set.Notes() {
				text += fmt.Sprintf("note: %s\n", note)
			}
			_, err := io.WriteString(c.OutOrStdout(), text)
			return err
		},
	}
	outputFlag(c, &output, "text", "text", "json")
	return c
}

// validateJSON prints the problems as a list, empty when there are none.
func validateJSON(c *cobra.Command, diagnostics policy.Diagnostics) error {
	if diagnostics == nil {
		diagnostics = policy.Diagnostics{}
	}
	e := json.NewEncoder(c.OutOrStdout())
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(diagnostics); err != nil {
		return fmt.Errorf("printing problems: %w", err)
	}
	if len(diagnostics) > 0 {
		return errFound
	}
	return nil
}

// load reads policies as serve does, with the environment's defaults, and pipes too.
func load(c *cobra.Command, paths []string) (*policy.Set, policy.Diagnostics) {
	defaults, diagnostics := policy.DefaultsFromEnv(os.LookupEnv)
	if len(diagnostics) > 0 {
		return nil, diagnostics
	}
	return files.LoadOnce(paths, c.InOrStdin(), defaults)
}
