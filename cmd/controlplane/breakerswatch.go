package main

import (
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"breakwater.dev/internal/cli"
)

func breakersWatchCommand(p *controlPlane) *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "watch [KEY...]",
		Short: "Show changes of breakers as they happen",
		Long: strings.TrimSpace(`
Watch prints the breakers, all or those that are named, and then a line for each
change of state when it happens. When the control plane goes away it says so, and begins
again with the list when it is back. It ends by Ctrl-C, and when nobody reads what it prints any more.

With --output json it prints no list, but the changes alone, an object a line. One with the
field "lost" says how many were left out because the reader was too slow.`),
		Example: "  breakwater breakers watch payments\n  breakwater breakers watch --output json | head -1",
		Args:    keys,
		PreRunE: func(*cobra.Command, []string) error { return oneOf("output", output, "table", "json") },
		RunE: func(c *cobra.Command, keys []string) error {
			client, err := p.client("", false)
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			signal.Ignore(syscall.SIGPIPE) // WhileRead notices a reader that has read enough
			ctx, stop = cli.WhileRead(ctx, c.OutOrStdout())
			defer stop()
			w := cli.Watcher{
				Client: client, Keys: keys, JSON: output == "json", Out: c.OutOrStdout(), Messages: c.ErrOrStderr(),
				Retry: 250 * time.Millisecond,
			}
			return p.advise(w.Run(ctx))
		},
	}
	outputFlag(c, &output, "table", "table", "json")
	c.ValidArgsFunction = p.completeKeys
	return c
}
