// Command shop is a service with a database, a cache and an external API. It calls each of them
// through its Envoy sidecar, and each has its own breaker.
//
// In: requests for users; the flags, or variables such as SHOP_DATABASE.
// Out: users as JSON; /health/live, /health/ready, /metrics.
// Called by: the demonstration and the tests of the example, and deploy/k8s/shop.
// Never: fails a request because the cache or the API fails.
// Concurrency: each dependency has its own connections, whose number is bounded.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// drainTime is how long requests in flight may take when the process is asked to end.
const drainTime = 10 * time.Second

// options are the flags.
type options struct{ listen, database, redis, api, proxy, policy, controlPlane, workload string }

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stdout, nil))
	o, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2) // parse has printed the reason
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, log); err != nil {
		log.Error("the shop ends", "error", err.Error())
		os.Exit(1)
	}
}

// parse reads the flags. A flag that is not given has its value from an environment variable of the same name.
func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("shop", flag.ContinueOnError)
	text := func(dst *string, name, usual, usage string) {
		variable := "SHOP_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		if v, ok := os.LookupEnv(variable); ok {
			usual = v
		}
		flags.StringVar(dst, name, usual, usage+" ($"+variable+")")
	}
	text(&o.listen, "listen", "127.0.0.1:8080", "where to serve")
	text(&o.database, "database", "postgres://shop@127.0.0.1:15432/shop?sslmode=disable", "PostgreSQL, through the sidecar")
	text(&o.redis, "redis", "127.0.0.1:16379", "Redis or Valkey, through the sidecar")
	text(&o.api, "api", "http://external-api", "the external API, as the sidecar knows it")
	text(&o.proxy, "proxy", "http://127.0.0.1:10000", "the sidecar, for HTTP")
	text(&o.policy, "policy", "examples/shop/policies", "policy files or a directory, the same as for the control plane")
	text(&o.controlPlane, "control-plane", "http://127.0.0.1:18080", "the control plane, which has the state of the mesh's breakers; empty: none")
	text(&o.workload, "workload", "shop", "the name of this workload, which is the cluster of the sidecar's node")
	err := flags.Parse(args)
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q; the shop takes flags only", flags.Arg(0))
		fmt.Fprintln(flags.Output(), err)
	}
	return o, err
}

// run serves until ctx ends.
func run(ctx context.Context, o options, log *slog.Logger) error {
	s, err := newService(o, log)
	if err != nil {
		return err
	}
	defer s.close()
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	failed := make(chan error, 2)
	watching, stop := context.WithCancel(context.Background())
	defer stop()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if err := s.breakers.Run(watching); err != nil && watching.Err() == nil {
			failed <- fmt.Errorf("watching the policy: %w", err)
		}
	}()
	go func() { failed <- server.Serve(l) }()
	log.Info("serving", "listen", l.Addr().String())
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	ending, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	err = errors.Join(err, server.Shutdown(ending))
	stop()
	<-watched
	return err
}
