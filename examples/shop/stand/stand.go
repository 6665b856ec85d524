package stand

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"breakwater.dev/internal/processes"
)

// Ports of the stand, on its own address.
const (
	databasePort  = "5432"
	redisPort     = "6379"
	apiPort       = "8090"
	xdsPort       = "18000"
	httpPort      = "18080"
	egressPort    = "10000"
	adminPort     = "9901"
	databaseProxy = "15432"
	redisProxy    = "16379"
	shopPort      = "8080"
)

// Options configure a stand.
type Options struct {
	// Root is the directory of the repository.
	Root string
	// Bin is the directory with the programs breakwater and shop; empty: bin/ in Root.
	Bin string
	// Recovery is how long breakers stay open, at least 1 s; 0: as long as in the policy.
	Recovery time.Duration
	// Plain turns the breakers off, in the mesh and in the shop. Timeouts and limits stay.
	Plain bool
}

// Stand is a running shop. Its parts can be stopped and started.
type Stand struct {
	options Options
	dir     string
	ip      string

	Database *Database
	Redis    *Redis
	API      *API
	control  *processes.Process
	envoy    *processes.Process
	shop     *processes.Process
}

// URL returns the URL of the shop, without a path.
func (s *Stand) URL() string { return "http://" + s.at(shopPort) }

// ControlPlane returns the URL of the control plane's pages, without a path.
func (s *Stand) ControlPlane() string { return "http://" + s.at(httpPort) }

// Egress returns the URL of the proxy for HTTP, without a path.
func (s *Stand) Egress() string { return "http://" + s.at(egressPort) }

func (s *Stand) at(port string) string { return net.JoinHostPort(s.ip, port) }

// New starts all parts and returns when the shop serves requests. If it returns an error, it has stopped all of them.
func New(ctx context.Context, o Options) (_ *Stand, err error) {
	s := &Stand{options: o}
	if s.ip, err = ownIP(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "breakwater-shop"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	// Servers that do not run as root need access to their own directories in it.
	if err := os.Chmod(s.dir, 0o711); err != nil {
		return nil, err
	}
	s.API, err = newAPI(s.at(apiPort))
	if err != nil {
		return nil, err
	}
	if s.Database, err = newDatabase(ctx, s.dir, s.ip); err != nil {
		return nil, err
	}
	if s.Redis, err = newRedis(s.dir, s.ip); err != nil {
		return nil, err
	}
	if err := s.Database.Start(ctx); err != nil {
		return nil, err
	}
	if err := s.Database.fill(ctx); err != nil {
		return nil, err
	}
	if err := s.Redis.Start(ctx); err != nil {
		return nil, err
	}
	if err := s.writePolicies(); err != nil {
		return nil, err
	}
	if err := s.StartControlPlane(ctx); err != nil {
		return nil, err
	}
	if err := s.startEnvoy(ctx); err != nil {
		return nil, err
	}
	return s, s.startShop(ctx)
}

// ownIP returns a loopback address on which all ports are free.
func ownIP() (string, error) {
	for range 100 {
		ip := fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
		if free(ip, databasePort, redisPort, apiPort, xdsPort, httpPort, egressPort, adminPort, databaseProxy, redisProxy, shopPort) {
			return ip, nil
		}
	}
	return "", errors.New("found no loopback address whose ports are free")
}

func free(ip string, ports ...string) bool {
	for _, port := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}

func (s *Stand) program(name string) string {
	return filepath.Join(cmp.Or(s.options.Bin, filepath.Join(s.options.Root, "bin")), name)
}

func (s *Stand) policies() string { return filepath.Join(s.dir, "policies") }

// writePolicies copies the shop's policies for the stand's address.
func (s *Stand) writePolicies() error {
	if err := os.Mkdir(s.policies(), 0o755); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(s.options.Root, "examples/shop/policies/*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("there are no policies below %s: %w", s.options.Root, errors.Join(err, os.ErrNotExist))
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		text := strings.ReplaceAll(string(data), "127.0.0.1", s.ip)
		if s.options.Recovery > 0 {
			text = recovery.ReplaceAllString(text, fmt.Sprintf("recovery_timeout_seconds: %d", max(int(s.options.Recovery/time.Second), 1)))
		}
		if err := os.WriteFile(filepath.Join(s.policies(), filepath.Base(f)), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if s.options.Plain {
		return os.WriteFile(filepath.Join(s.policies(), "plain.yaml"), []byte(plain), 0o644)
	}
	return nil
}

// StartControlPlane starts the control plane, also after [Stand.KillControlPlane].
func (s *Stand) StartControlPlane(ctx context.Context) (err error) {
	s.control, err = processes.Launch(s.dir, processes.Command{
		Name: "control plane", Path: s.program("breakwater"),
		Args: []string{"serve", "--policy", s.policies(), "--xds-listen", s.at(xdsPort), "--http-listen", s.at(httpPort),
			"--state-dir", filepath.Join(s.dir, "state")},
	})
	if err != nil {
		return err
	}
	return s.control.Answers(ctx, s.ControlPlane()+"/health/ready")
}

// KillControlPlane ends the control plane as a crash would.
func (s *Stand) KillControlPlane() { s.control.Kill() }

func (s *Stand) startEnvoy(ctx context.Context) error {
	envoy, err := processes.FindEnvoy(filepath.Join(s.options.Root, ".tools"))
	if err != nil {
		return err
	}
	bootstrap, err := exec.CommandContext(ctx, s.program("breakwater"), "bootstrap",
		"--node-id", "shop-1", "--node-cluster", "shop", "--upstreams", "database,external_api,redis",
		"--xds", s.at(xdsPort), "--listen", s.at(egressPort), "--admin", s.at(adminPort)).Output()
	if err != nil {
		return fmt.Errorf("printing the bootstrap: %w", err)
	}
	config := filepath.Join(s.dir, "envoy.yaml")
	if err := os.WriteFile(config, bootstrap, 0o644); err != nil {
		return err
	}
	s.envoy, err = processes.Launch(s.dir, processes.Command{
		Name: "envoy", Path: envoy, Args: []string{"-c", config, "--use-dynamic-base-id", "--concurrency", "1", "-l", "warn"},
	})
	if err != nil {
		return err
	}
	if err := s.envoy.Answers(ctx, "http://"+s.at(adminPort)+"/ready"); err != nil {
		return err
	}
	return s.envoy.Ready(ctx, func(ctx context.Context) error {
		for _, port := range []string{egressPort, databaseProxy, redisProxy} {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.at(port))
			if err != nil {
				return err
			}
			conn.Close()
		}
		return nil
	})
}

func (s *Stand) startShop(ctx context.Context) (err error) {
	s.shop, err = processes.Launch(s.dir, processes.Command{
		Name: "shop", Path: s.program("shop"),
		Args: []string{"--listen", s.at(shopPort), "--policy", s.policies(), "--redis", s.at(redisProxy),
			"--database", connection(s.at(databaseProxy)), "--proxy", s.Egress(), "--control-plane", s.ControlPlane()},
	})
	if err != nil {
		return err
	}
	return s.shop.Answers(ctx, s.URL()+"/users/1")
}

func connection(address string) string {
	return "postgres://shop@" + address + "/shop?sslmode=disable"
}

// Logs returns the last lines that each program printed.
func (s *Stand) Logs() string {
	var text strings.Builder
	for name, p := range map[string]*processes.Process{"control plane": s.control, "envoy": s.envoy, "shop": s.shop} {
		if p != nil {
			fmt.Fprintf(&text, "--- %s\n%s\n", name, p.Tail())
		}
	}
	return text.String()
}

// Close stops all parts and removes all files.
func (s *Stand) Close() error {
	var problems []error
	for _, p := range []*processes.Process{s.shop, s.envoy, s.control} {
		if p != nil {
			problems = append(problems, p.Stop())
		}
	}
	if s.Redis != nil {
		problems = append(problems, s.Redis.Stop())
	}
	if s.Database != nil {
		problems = append(problems, s.Database.close())
	}
	if s.API != nil {
		problems = append(problems, s.API.close())
	}
	return errors.Join(append(problems, os.RemoveAll(s.dir))...)
}

// direct connects to the database without the proxy.
func direct(ctx context.Context, address string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, connection(address))
}
