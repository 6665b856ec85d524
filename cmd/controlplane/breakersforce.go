package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"breakwater.dev/api"
	"breakwater.dev/internal/cli"
)

// byHand are the flags of commands that change a breaker.
type byHand struct {
	*controlPlane
	by, reason, tokenFile, output string
	insecure                      bool
}

const byHandHelp = `

The control plane wants the token that its own --admin-token-file holds. Here it is
read from --admin-token-file, else from the environment variable BREAKWATER_ADMIN_TOKEN.
Who did it and why is in the control plane's log. It holds for the proxies of the control
plane that answers, which is named on standard error: of several each has its own.`

func breakersForceCommand(p *controlPlane) *cobra.Command {
	h := byHand{controlPlane: p}
	var duration lasts
	positions := []string{"open", "closed"}
	c := &cobra.Command{
		Use:   "force KEY open|closed --reason TEXT --for DURATION",
		Short: "Hold a breaker open or closed for a time",
		Long: strings.TrimSpace(`
Force holds a breaker open, so that it admits no call, or closed, so that it admits
all. Its own rules and timers rest until the time is over or reset ends it. Then one
that was held open probes, and one that was held closed starts anew.`) + byHandHelp,
		Example: "  breakwater breakers force payments open --reason 'moving the database' --for 10m\n" +
			"  breakwater breakers force payments closed --reason 'the rules are too tight' --for 1d",
		Args: func(c *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(2)(c, args); err != nil {
				return err
			}
			if args[1] != "open" && args[1] != "closed" {
				return fmt.Errorf("state = %q; must be open or closed", args[1])
			}
			return checkKey(args[0])
		},
		RunE: func(c *cobra.Command, args []string) error {
			if duration <= 0 {
				return usageError{fmt.Errorf("--for = %s; must be a duration above 0, such as 10m or 1d", time.Duration(duration))}
			}
			return h.apply(c, args[0], func(client *api.Client) (api.Item, api.Answer, error) {
				f := api.Force{State: api.State(args[1]), By: h.operator(), Reason: h.reason, For: time.Duration(duration)}
				return client.Force(c.Context(), args[0], f)
			})
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			switch len(args) {
			case 0:
				return p.completeKeys(c, args, begun)
			case 1:
				return positions, cobra.ShellCompDirectiveNoFileComp
			default:
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
		},
	}
	c.Flags().Var(&duration, "for", "how long: a `duration` such as 10m, 1h30m or 1d, at most 7d")
	h.flags(c)
	require(c, "for")
	return c
}

func breakersResetCommand(p *controlPlane) *cobra.Command {
	h := byHand{controlPlane: p}
	c := &cobra.Command{
		Use:   "reset KEY --reason TEXT",
		Short: "Close a breaker, forget its calls, and end what was forced",
		Long: strings.TrimSpace(`
Reset closes a breaker, whatever its state. It forgets the calls it has seen and how
often it has opened, and what was forced by hand is over. Its rules go on.`) + byHandHelp,
		Example: "  breakwater breakers reset payments --reason 'the database is back'",
		Args: func(c *cobra.Command, args []string) error {
			if err := cobra.ExactArgs(1)(c, args); err != nil {
				return err
			}
			return checkKey(args[0])
		},
		RunE: func(c *cobra.Command, args []string) error {
			return h.apply(c, args[0], func(client *api.Client) (api.Item, api.Answer, error) {
				return client.Reset(c.Context(), args[0], h.operator(), h.reason)
			})
		},
		ValidArgsFunction: func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return p.completeKeys(c, args, begun)
		},
	}
	h.flags(c)
	return c
}

func (h *byHand) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&h.reason, "reason", "", "why, as a `text` for the log and for others who look")
	f.StringVar(&h.by, "by", "", "`name` of who does it (default USER@HOST)")
	f.StringVar(&h.tokenFile, "admin-token-file", "", "`file` with the control plane's admin token (default $"+tokenEnv+")")
	f.BoolVar(&h.insecure, "insecure", false, "send the token in plain text to another host")
	outputFlag(c, &h.output, "table", "table", "json")
	require(c, "reason")
	completeFiles(c, "admin-token-file")
}

// apply makes a change, and prints the breaker as it is then.
func (h *byHand) apply(c *cobra.Command, key string, change func(*api.Client) (api.Item, api.Answer, error)) error {
	if strings.TrimSpace(h.reason) == "" {
		return usageError{errors.New("--reason is empty; say why, for the log and for others who look")}
	}
	if err := oneOf("output", h.output, "table", "json"); err != nil {
		return err
	}
	client, err := h.client("", false)
	if err != nil {
		return err
	}
	token, err := findToken(h.tokenFile)
	if err != nil {
		return err
	}
	server := client.Server()
	if client, err = h.client(token.text, h.insecure); errors.Is(err, api.ErrPlainToken) {
		return usageError{fmt.Errorf("%s would get the admin token in plain text, for everybody on the way to read; use https or a tunnel to this host, or say --insecure", server)}
	} else if err != nil {
		return err
	}
	after, answer, err := change(client)
	if err != nil {
		return h.adviseOnToken(token, cli.Suggest(c.Context(), client, key, err))
	}
	if h.output == "json" {
		return cli.WriteJSON(c.OutOrStdout(), after.JSON)
	}
	if answer.By != nil {
		fmt.Fprintln(c.ErrOrStderr(), cli.InForce(answer.By))
	}
	return cli.WriteTable(c.OutOrStdout(), &cli.Listing{Answer: answer, Breakers: []api.Breaker{after.Breaker}})
}

// operator returns the name of the operator.
func (h *byHand) operator() string {
	if h.by != "" {
		return h.by
	}
	return whoami()
}

// whoami returns who runs this command, so that others can ask them. It is no proof.
func whoami() string {
	name := fmt.Sprintf("uid-%d", os.Getuid()) // containers often have no name for it
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return name + "@" + host
}
