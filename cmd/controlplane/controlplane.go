package main

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"breakwater.dev/api"
	"breakwater.dev/internal/cli"
)

// The environment variables that say where the control plane is, and how to trust it, where no flag does.
const (
	serverEnv  = "BREAKWATER_SERVER"
	caFileEnv  = "BREAKWATER_CA_FILE"
	tlsNameEnv = "BREAKWATER_TLS_SERVER_NAME"
)

// controlPlane is where commands find the control plane, as their flags say.
type controlPlane struct {
	server  string // "": as the environment says, else api.DefaultServer
	timeout time.Duration
	caFile  string // "": as the environment says, else the system's
	tlsName string // "": as the environment says, else the host of the URL
}

func (p *controlPlane) flags(c *cobra.Command) {
	f := c.PersistentFlags()
	f.StringVar(&p.server, "server", "", "`URL` or host:port of the control plane's --http-listen (default $"+serverEnv+", else "+api.DefaultServer+")")
	f.StringVar(&p.caFile, "ca-file", "", "PEM `file` with the CA of the control plane's certificate (default $"+caFileEnv+", else the system's)")
	f.StringVar(&p.tlsName, "tls-server-name", "", "`name` that has to be in that certificate, if it is not the host of --server (default $"+tlsNameEnv+")")
	f.DurationVar(&p.timeout, "timeout", 5*time.Second, "how long to wait for each answer")
}

// client returns a client of the control plane, which need not be there. plain allows the token, which may be "", to be sent
// in plain text to another host.
func (p *controlPlane) client(token string, plain bool) (*api.Client, error) {
	said, server := "--server", p.server
	if server == "" {
		said, server = serverEnv, os.Getenv(serverEnv)
	}
	if p.timeout <= 0 {
		return nil, usageError{fmt.Errorf("--timeout = %s; must be a duration above 0", p.timeout)}
	}
	client, err := api.New(api.Options{
		Server: server, Timeout: p.timeout, UserAgent: "breakwater/" + version, Token: token, PlainToken: plain,
		CAFile: cmp.Or(p.caFile, os.Getenv(caFileEnv)), ServerName: cmp.Or(p.tlsName, os.Getenv(tlsNameEnv)),
	})
	if errors.Is(err, api.ErrServer) {
		return nil, usageError{fmt.Errorf("%s = %q; must be host:port or a URL, such as %s", said, server, api.DefaultServer)}
	}
	return client, err
}

// advise says what an operator can do about an error of the client.
func (p *controlPlane) advise(err error) error {
	var unreachable *api.UnreachableError
	var answer *api.AnswerError
	switch {
	case errors.As(err, &unreachable):
		return p.reach(unreachable)
	case errors.As(err, &answer) && errors.Is(err, api.ErrWantsTLS):
		return fmt.Errorf("%s speaks TLS: give --server as an https URL, and its CA by --ca-file", answer.Server)
	}
	return err
}

// reach says what to check when there is no answer at all.
func (p *controlPlane) reach(err *api.UnreachableError) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("the certificate of %s is of no CA that is known here: %w; give the CA by --ca-file or %s", err.Server, err.Err, caFileEnv)
	case errors.As(err, &name):
		return fmt.Errorf("the certificate of %s is for another name: %w; where that is right, for example behind a tunnel, give --tls-server-name", err.Server, err.Err)
	}
	if what := cli.Elsewhere(err, p.timeout); what != "" {
		return fmt.Errorf("%s is not the HTTP address of a control plane: %s", err.Server, what)
	}
	return fmt.Errorf("%w; check that 'breakwater serve' runs, and that --server or %s is its --http-listen", err, serverEnv)
}

// adviseOnToken is advise for an answer to a change by hand, which may refuse the token.
func (p *controlPlane) adviseOnToken(t token, err error) error {
	var no *api.StatusError
	if errors.As(err, &no) && no.Status == http.StatusUnauthorized {
		return errors.New(t.refused(no.Message))
	}
	return p.advise(err)
}

// completeKeys has a shell complete names of breakers. Where the server cannot be
// asked there is nothing to offer, and nothing to say in the middle of a line.
func (p *controlPlane) completeKeys(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	quick := *p
	quick.timeout = min(p.timeout, time.Second)
	client, err := quick.client("", false)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	known, err := cli.Keys(c.Context(), client)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var offers []cobra.Completion
	for _, key := range known {
		if strings.HasPrefix(key, begun) && !slices.Contains(args, key) {
			offers = append(offers, key)
		}
	}
	return offers, cobra.ShellCompDirectiveNoFileComp
}
