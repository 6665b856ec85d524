package redistest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"breakwater.dev/internal/toolbin"
)

// Kind is a kind of server.
type Kind struct {
	Name string
	// TLS reports whether the binary can speak TLS itself.
	TLS  bool
	tool toolbin.Tool
}

// The kinds of servers.
var (
	Redis  = Kind{Name: "redis", TLS: true, tool: toolbin.Tool{Name: "Redis", Variable: "REDIS_SERVER", File: "redis-server", Get: "scripts/ci-packages.sh"}}
	Valkey = Kind{Name: "valkey", tool: toolbin.Tool{Name: "Valkey", Variable: "VALKEY_SERVER", File: "valkey-server", Get: "make tools"}}
)

// Path returns the absolute path of the server's program, or fails the test.
func (k Kind) Path(t testing.TB) string {
	t.Helper()
	return k.tool.Path(t)
}

// Each runs a test for each kind of server, for all kinds at once.
func Each(t *testing.T, test func(t *testing.T, kind Kind)) {
	for _, kind := range []Kind{Redis, Valkey} {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

const (
	patience = 30 * time.Second
	pollGap  = 10 * time.Millisecond
	// attempts is how often a server is started, because another process can take its port before it does.
	attempts = 5
)

// Server is a running server.
type Server struct {
	// Addr is its host:port.
	Addr string

	kind    Kind
	args    []string
	dir     string
	cmd     *exec.Cmd
	busPort string // for the other servers of a cluster
	// admin is a connection for tests. It has no password; see [Server.Do].
	admin *redis.Client
	done  chan struct{} // closed when the process has ended
}

// Start starts a server that keeps nothing on disk. Settings are command line arguments, such as "--requirepass", "secret".
func Start(t testing.TB, kind Kind, settings ...string) *Server {
	t.Helper()
	s := &Server{kind: kind, dir: t.TempDir()}
	s.args = append([]string{"--save", "", "--appendonly", "no"}, settings...)
	s.startAnywhere(t)
	return s
}

// startAnywhere starts the server on a free port.
func (s *Server) startAnywhere(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		s.Kill(t)
		s.admin.Close()
	})
	args := s.args
	for range attempts {
		s.Addr = FreeAddr(t)
		s.args = append(slices.Clone(args), "--port", port(s.Addr))
		if slices.Contains(args, "--cluster-enabled") {
			s.busPort = port(FreeAddr(t))
			s.args = append(s.args, "--cluster-port", s.busPort)
		}
		s.admin = redis.NewClient(&redis.Options{
			Addr: s.Addr, DialerRetries: 1, DisableIdentity: true,
			MaxRetries: 3,      // a Sentinel closes the connections of the server that it makes the primary
			PoolSize:   10_000, // after that many failures the library would go on trying by itself, until after the test
		})
		if s.launch(t) {
			return
		}
		s.admin.Close()
	}
	t.Fatalf("%s does not start:\n%s", s.kind.Name, s.log())
}

// launch starts the process, and reports false if it ended before it answered.
func (s *Server) launch(t testing.TB) bool {
	t.Helper()
	args := append(slices.Clone(s.args), "--bind", "127.0.0.1", "--dir", s.dir, "--logfile", filepath.Join(s.dir, "log"))
	s.cmd = exec.Command(s.kind.Path(t), args...)
	var output bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &output, &output
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	s.done = done
	go func(cmd *exec.Cmd) {
		_ = cmd.Wait() // a killed process gives an error
		close(done)
	}(s.cmd)
	answers := func() bool {
		info, err := s.admin.Info(t.Context(), "server").Result()
		if err == nil { // it could be another server, which has taken the port meanwhile
			return strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", s.cmd.Process.Pid))
		}
		return redis.HasErrorPrefix(err, "NOAUTH")
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		select {
		case <-done:
			t.Logf("%s %q ended by itself: %s", s.kind.Name, args, output.Bytes())
			return false
		case <-time.After(pollGap):
		}
		if answers() {
			return true
		}
	}
	t.Fatalf("%s does not answer:\n%s", s.kind.Name, s.log())
	return false
}

// Restart starts a killed server again at its address.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	Wait(t, "the port to be free", func() bool {
		select {
		case <-s.done:
		default:
			t.Fatal("the server still runs")
		}
		return s.launch(t)
	})
}

// Kill ends the server as a crash would. It may be frozen, or have ended already.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill() // the only error is that it has ended already
	<-s.done
}

// Freeze stops the process without ending it: its connections stay, and nothing answers. Thaw continues it.
func (s *Server) Freeze(t testing.TB) { s.signal(t, syscall.SIGSTOP) }

// Thaw continues a frozen process.
func (s *Server) Thaw(t testing.TB) { s.signal(t, syscall.SIGCONT) }

func (s *Server) signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// Do runs a command, and fails the test if the server refuses it. A missing value is nil.
func (s *Server) Do(t testing.TB, args ...any) any {
	t.Helper()
	v, err := s.admin.Do(t.Context(), args...).Result()
	if err != nil && err != redis.Nil {
		t.Fatalf("%v: %v", args, err)
	}
	return v
}

// Keys returns all keys of the server, sorted.
func (s *Server) Keys(t testing.TB) []string {
	t.Helper()
	keys, err := s.admin.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

// log returns the last lines of the server's log.
func (s *Server) log() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// FreeAddr returns an address of the loopback interface at which nothing listens.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// Wait waits until a condition holds, or fails the test.
func Wait(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s", patience, what)
		case <-time.After(pollGap):
		}
	}
}
