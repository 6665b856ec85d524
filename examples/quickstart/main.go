// Command quickstart shows a breaker at work: a control plane, a real Envoy, two
// services, and callers. One service breaks and recovers; the other is untouched.
//
// In: policies/, bin/breakwater and an Envoy; DEMO_SECONDS, to end by itself.
// Out: the story as it happens, on standard output; then addresses to try until Ctrl-C.
// Called by: make demo.
// Never: leaves a process behind.
// Concurrency: one demonstration a machine; its ports are fixed, so that they can be written down.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Addresses of the demonstration; policies/ and README.md have them too.
const (
	xdsAddress     = "127.0.0.1:18000"
	httpAddress    = "127.0.0.1:18080"
	egressAddress  = "127.0.0.1:10000"
	adminAddress   = "127.0.0.1:9901"
	paymentsListen = "127.0.0.1:18101"
	stockListen    = "127.0.0.1:18102"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	limit, err := demoSeconds()
	if err != nil {
		return err
	}
	if err := portsFree(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "breakwater-quickstart")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	payments, err := newService("payments", paymentsListen)
	if err != nil {
		return err
	}
	defer payments.close()
	stock, err := newService("stock", stockListen)
	if err != nil {
		return err
	}
	defer stock.close()
	processes, err := startAll(ctx, dir)
	defer func() { err = errors.Join(err, processes.stop()) }()
	if err != nil {
		return err
	}

	s := &story{payments: payments, stock: stock, began: time.Now()}
	if err := s.tell(ctx); err != nil {
		return err
	}
	s.addresses(limit)
	return s.idle(ctx, processes, limit)
}

// demoSeconds reads how long to stay after the story; 0 means until Ctrl-C.
func demoSeconds() (time.Duration, error) {
	text := os.Getenv("DEMO_SECONDS")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n <= 0 || n > 86_400 {
		return 0, fmt.Errorf("DEMO_SECONDS = %q; must be a number of seconds, such as 5", text)
	}
	return time.Duration(n * float64(time.Second)), nil
}

// portsFree names every port that somebody else has.
func portsFree() error {
	var taken []error
	for _, p := range []struct{ address, what string }{
		{xdsAddress, "the control plane, for proxies"},
		{httpAddress, "the control plane, for people"},
		{egressAddress, "Envoy, for applications"},
		{adminAddress, "Envoy's admin page"},
		{paymentsListen, "the payments service"},
		{stockListen, "the stock service"},
	} {
		l, err := net.Listen("tcp", p.address)
		if err != nil {
			taken = append(taken, fmt.Errorf("%s, which is to be %s, cannot be had: %w", p.address, p.what, err))
			continue
		}
		l.Close()
	}
	if taken != nil {
		taken = append(taken, errors.New("end whatever has the port (is another demo running?) and try again"))
	}
	return errors.Join(taken...)
}

// findEnvoy looks where `make tools` does: $ENVOY, the PATH, .tools.
func findEnvoy() (string, error) {
	if e := os.Getenv("ENVOY"); e != "" {
		return e, nil
	}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), ".tools") {
		path := filepath.Join(dir, "envoy")
		if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			if strings.HasPrefix(path, ".tools") {
				path = "." + string(filepath.Separator) + path
			}
			return path, nil
		}
	}
	return "", errors.New("there is no Envoy; `make tools` gets one")
}
