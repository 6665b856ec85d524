package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"breakwater.dev/internal/app"
	"breakwater.dev/internal/logs"
	"breakwater.dev/membership/addresses"
)

func serveCommand() *cobra.Command {
	var o app.Options
	var format, tokenFile string
	var peers []string
	var level slog.Level
	c := &cobra.Command{
		Use:     "serve PATH...",
		Short:   "Run the control plane",
		Long:    strings.TrimSpace(serveHelp),
		Example: "  breakwater serve policies/\n  breakwater serve policies/ --admin-token-file token --xds-listen 0.0.0.0:18000 --insecure",
		RunE: func(c *cobra.Command, paths []string) error {
			var err error
			if o.Policy, err = policyPaths(o.Policy, paths); err != nil {
				return err
			}
			log, err := logs.New(c.ErrOrStderr(), format, level)
			if err != nil {
				return usageError{fmt.Errorf("--log-format: %w", err)}
			}
			o.Log, o.Version, o.Instance = log, version, instance(o.Instance, os.Getenv, os.Hostname)
			if err := checkProxyMemory(o.ProxyMemory); err != nil {
				return err
			}
			if err := checkGateTTL(o.GateTTL); err != nil {
				return err
			}
			if o.Replicas.Peers, err = readsPeers(c.Flags().Changed("peers"), peers, o.Replicas.Store.URL); err != nil {
				return err
			}
			if err := checkConnectionAge(o.Replicas.ConnectionAge); err != nil {
				return err
			}
			if o.AdminToken, err = readsToken(tokenFile); err != nil {
				return err
			}
			if !c.Flags().Changed("state-dir") && o.Replicas.Store.URL == "" { // a store has all states
				o.StateDir = findStateDir(os.Getenv, o.XDSListen, log)
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second signal ends the process at once
			return app.Run(ctx, o)
		},
	}
	serveFlags(c, &o)
	f := c.Flags()
	f.StringVar(&tokenFile, "admin-token-file", "", "`file` with the token that lets people change breakers; may be replaced at any time (default $"+tokenEnv+")")
	f.StringVar(&format, "log-format", "text", "text or json")
	f.StringSliceVar(&peers, "peers", nil, "`host:port` of each replica with which this one shares its breakers without a store, this one included, with commas between; or a single DNS name of all, and their port (see above)")
	f.TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	completeWords(c, "instance", nil)
	completeWords(c, "peers", nil)
	completeFiles(c, "tls-cert", "tls-key", "tls-client-ca", "http-tls-cert", "http-tls-key", "admin-token-file")
	return c
}

const serveHelp = `
Serve runs the control plane: it configures Envoy proxies over xDS, decides for
their requests over ext_proc, and shows the state of every breaker over HTTP.

PATH is a directory or file with policies. All are one policy, which is read again
whenever its files change. One with problems changes nothing: the old one stays in
force, and the problems are in the log and on /config.

On SIGTERM and SIGINT it waits for requests under way and exits with 0. No request
of an application fails because the control plane is gone.

With --node-identity a proxy is who its certificate says. A rule is a URI or "dns:" and a DNS
name, in which {workload}, {node} and {any} each stand for one segment:

  --node-identity 'spiffe://{any}/ns/{any}/sa/{workload}'
  --node-identity 'dns:{node}.proxies.example.com'

One name in the certificate has to fit one rule. {workload} must be the node's cluster, and the
node's id that workload's name or the name of one of its pods, as Kubernetes makes them; {node}
must be the node's id. Other streams get PERMISSION_DENIED. What a proxy reports counts only for
upstreams that its own configuration stream names, or for all where that names none; and of those
only for upstreams that have no 'callers', or whose 'callers' name its workload (or that take over
from such). Without rules a proxy with any certificate of --tls-client-ca may claim to be any other.

Proxies reject by themselves for open breakers in the data path Adaptive. When they have not heard
from the control plane for --gate-ttl they let calls through, so that one that is gone
cannot keep a service from being called.

Breakers that are not closed, or held by hand, are kept in --state-dir over a restart.
Without the flag that is $STATE_DIRECTORY, as systemd sets it, or a directory for the address of
--xds-listen below $XDG_STATE_HOME/breakwater or ~/.local/state/breakwater. If that
cannot be written the log says so, and nothing is kept.

'breakwater breakers force' and 'reset' need the admin token, of --admin-token-file or
of the environment variable BREAKWATER_ADMIN_TOKEN. Without one nobody can change breakers.
From other hosts a change needs TLS (--http-tls-cert, --http-tls-key), because somebody on the way
could read the token. With --http-insecure it is taken in plain text too.

In plain text --http-listen answers only requests for a Host that no stranger can own, so that no page in a
browser can read it: an IP address, localhost, a name without a dot, one that ends in .svc or
.svc.cluster.local, the host of --http-listen, and those of --http-host.

Replicas share their breakers by --store or, without a store, by --peers, which has the address
of each replica. They need a majority of the addresses for a trial of a service by one of them:

  --peers 10.0.0.1:18000,10.0.0.2:18000,10.0.0.3:18000

Three addresses are the fewest that survive the loss of one, five the fewest that survive the loss
of two; a fourth or a second one adds nothing. Where a majority is missing, each replica decides by
what its own side knows, and makes no probes, so an open breaker stays open until the majority is
there again. All replicas have the same list; change it by one address at a time. Breakers are kept
in each replica's own --state-dir.

A single DNS name, such as a headless service of Kubernetes, stands for all of its addresses. It
has to name replicas that are not ready, too. The first leader is there a minute after the first
start, and a name server that is silent for longer than 20 s is like a missing majority.

The environment variables CIRCUIT_BREAKER_FAILURE_THRESHOLD,
CIRCUIT_BREAKER_RECOVERY_TIMEOUT_SECONDS, CIRCUIT_BREAKER_TIMEOUT_SECONDS and
CIRCUIT_BREAKER_SUCCESS_THRESHOLD replace the built-in defaults of policies.`

// readsPeers reads the addresses of replicas.
func readsPeers(given bool, list []string, store string) (addresses.Peers, error) {
	switch {
	case !given:
		return addresses.Peers{}, nil
	case store != "":
		return addresses.Peers{}, usageError{errors.New("--peers and --store both say which replicas there are; give one of them")}
	case len(list) == 0:
		return addresses.Peers{}, usageError{errors.New("--peers is empty; give the address of each replica, or a DNS name of all")}
	}
	peers, err := addresses.Parse(list)
	if err != nil {
		return addresses.Peers{}, usageError{fmt.Errorf("--peers: %w", err)}
	}
	return peers, nil
}

// instanceEnv names the control plane where --instance does not.
const instanceEnv = "BREAKWATER_INSTANCE"

// instance is the name of this control plane. In Kubernetes the host's name is the pod's.
func instance(flag string, lookup func(string) string, host func() (string, error)) string {
	if name := cmp.Or(flag, lookup(instanceEnv)); name != "" {
		return name
	}
	if name, err := host(); err == nil && name != "" {
		return name
	}
	return "unnamed"
}

// leastGateTTL leaves room for a heartbeat that comes late.
const leastGateTTL = time.Second

func checkGateTTL(ttl time.Duration) error {
	if ttl >= leastGateTTL {
		return nil
	}
	return usageError{fmt.Errorf("--gate-ttl = %s; must be %s or more: it is sent again three times as often", ttl, leastGateTTL)}
}

// Bounds on the age of connections. A younger one costs more handshakes than requests; an older one spreads no proxies before
// the next release.
const leastConnectionAge, mostConnectionAge = time.Second, 24 * time.Hour

func checkConnectionAge(age time.Duration) error {
	if age == 0 || leastConnectionAge <= age && age <= mostConnectionAge {
		return nil
	}
	return usageError{fmt.Errorf("--proxy-connection-age = %s; must be from %s to %s, or 0 for any age", age, leastConnectionAge, mostConnectionAge)}
}

// leastProxyMemory is enough for a few dozen proxies.
const leastProxyMemory = 8

func checkProxyMemory(mib int) error {
	if mib == 0 || mib >= leastProxyMemory {
		return nil
	}
	return usageError{fmt.Errorf("--proxy-memory = %d; must be %d or more, in MiB, or 0 for the default", mib, leastProxyMemory)}
}

func serveFlags(c *cobra.Command, o *app.Options) {
	f := c.Flags()
	policyFlag(c, &o.Policy)
	f.StringVar(&o.Instance, "instance", "", "`name` by which answers and people tell this control plane from others (default $"+instanceEnv+", else the host's)")
	f.StringVar(&o.XDSListen, "xds-listen", "127.0.0.1:18000", "`address` for proxies: xDS, ext_proc and access logs")
	f.StringVar(&o.HTTPListen, "http-listen", "127.0.0.1:18080", "`address` for people and Prometheus: /metrics, /health, /breakers, /config")
	f.StringVar(&o.TLS.CertFile, "tls-cert", "", "PEM `file` with the certificate shown to proxies")
	f.StringVar(&o.TLS.KeyFile, "tls-key", "", "PEM `file` with its key")
	f.StringVar(&o.TLS.ClientCAFile, "tls-client-ca", "", "PEM `file` with the CA that signs the proxies' certificates")
	f.StringArrayVar(&o.NodeIdentity, "node-identity", nil, "`rule` by which a proxy's certificate says who it is; may be given several times (see above)")
	f.IntVar(&o.ProxyMemory, "proxy-memory", 0, "`MiB` that all proxies together may hold in this process; one of them three quarters (default two fifths of $GOMEMLIMIT, or 256)")
	f.BoolVar(&o.Insecure, "insecure", false, "allow plain text to proxies beyond this host")
	f.StringVar(&o.HTTP.CertFile, "http-tls-cert", "", "PEM `file` with the certificate shown to people and Prometheus")
	f.StringVar(&o.HTTP.KeyFile, "http-tls-key", "", "PEM `file` with its key")
	f.StringArrayVar(&o.HTTP.Names, "http-host", nil, "`name` by which people reach --http-listen in plain text, besides those listed above; \"*\" is any; may be given several times")
	f.BoolVar(&o.HTTP.Insecure, "http-insecure", false, "take changes of breakers over plain text from other hosts")
	f.StringVar(&o.StateDir, "state-dir", "", "`directory` that keeps breakers over a restart; \"\" keeps nothing (default as above)")
	f.StringVar(&o.Replicas.Store.URL, "store", "", "`URL` of the Redis or Valkey by which replicas share their breakers: redis://, rediss://, redis-sentinel:// or redis-cluster:// (default none: this is the only replica)")
	f.StringVar(&o.Replicas.Store.Name, "store-name", "breakwater", "`name` of this mesh's control plane in the store; replicas of one name share their breakers")
	f.StringVar(&o.Replicas.Store.PasswordFile, "store-password-file", "", "`file` with the store's password; may be replaced at any time")
	f.StringVar(&o.Replicas.Store.CAFile, "store-tls-ca", "", "PEM `file` with the CA of the store's certificate (default the system's)")
	f.StringVar(&o.Replicas.Store.CertFile, "store-tls-cert", "", "PEM `file` with the certificate shown to the store")
	f.StringVar(&o.Replicas.Store.KeyFile, "store-tls-key", "", "PEM `file` with its key")
	f.StringVar(&o.Replicas.Address, "replica-address", "", "`host:port` at which other replicas reach --xds-listen (default that one, if it is one address)")
	f.DurationVar(&o.Replicas.ConnectionAge, "proxy-connection-age", 5*time.Minute, "how old connections of proxies become where there are other replicas, so that proxies spread over all; 0 is any age. No request is lost by it")
	f.DurationVar(&o.GateTTL, "gate-ttl", 15*time.Second, "how long proxies go on rejecting for open breakers without hearing from the control plane, and a fifth of it while one is half-open; then calls pass")
	f.DurationVar(&o.DrainTimeout, "drain-timeout", 10*time.Second, "how long a shutdown waits for requests under way")
}

// completeFiles has a shell complete flags with names of files.
func completeFiles(c *cobra.Command, names ...string) {
	for _, name := range names {
		if err := c.MarkFlagFilename(name); err != nil {
			panic(fmt.Sprintf("completion of --%s of %s: %v", name, c.Name(), err))
		}
	}
}

// require marks flags that have to be given.
func require(c *cobra.Command, names ...string) {
	for _, name := range names {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(fmt.Sprintf("flag --%s of %s: %v", name, c.Name(), err))
		}
	}
}
