package connect

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"breakwater.dev/internal/redistest"
	"breakwater.dev/internal/testca"
)

// client returns a client until the test ends.
func client(t *testing.T, o Options) redis.UniversalClient {
	t.Helper()
	c, err := o.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// ping returns the error of a command on a new connection.
func ping(t *testing.T, o Options) error {
	t.Helper()
	return client(t, o).Ping(t.Context()).Err()
}

// TestDatabase shows that the number of the database in the URL is used.
func TestDatabase(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		server := redistest.Start(t, kind)
		if err := client(t, Options{URL: "redis://" + server.Addr + "/3"}).Set(t.Context(), "a", "1", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if keys := server.Keys(t); len(keys) != 0 {
			t.Errorf("database 0 has the keys %q", keys)
		}
		if got := client(t, Options{URL: "redis://" + server.Addr + "/3"}).Get(t.Context(), "a").Val(); got != "1" {
			t.Errorf("database 3 has %q, want 1", got)
		}
	})
}

// TestPasswords shows which passwords a server takes, and that the error for a wrong one does not have it.
func TestPasswords(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		server := redistest.Start(t, kind, "--requirepass", "p/ss@word", "--user", "ann", "on", ">hunter2", "~*", "+@all")
		for _, tt := range []struct {
			user string
			ok   bool
		}{
			{":p%2Fss%40word@", true}, {"default:p%2Fss%40word@", true}, {"ann:hunter2@", true},
			{"", false}, {":hunter3@", false}, {"ann:hunter3@", false}, {"bob:hunter2@", false},
		} {
			err := ping(t, Options{URL: "redis://" + tt.user + server.Addr})
			if (err == nil) != tt.ok {
				t.Errorf("%s: error %v", tt.user, err)
			}
			if err != nil && (strings.Contains(err.Error(), "hunter") || !strings.Contains(err.Error(), "NOAUTH") && !strings.Contains(err.Error(), "WRONGPASS")) {
				t.Errorf("%s: error %v, want the server's one without the password", tt.user, err)
			}
		}
	})
}

// TestPasswordFileRotates shows that a new connection has the password that is in the file then.
func TestPasswordFileRotates(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		server := redistest.Start(t, kind, "--user", "ann", "on", ">old", "~*", "+@all")
		o := Options{URL: "redis://ann@" + server.Addr, PasswordFile: filepath.Join(t.TempDir(), "password")}
		write(t, o.PasswordFile, "old\r\n")
		c := client(t, o)
		if err := c.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		server.Do(t, "ACL", "SETUSER", "ann", "resetpass", ">new")
		server.Do(t, "CLIENT", "KILL", "USER", "ann")
		redistest.Wait(t, "the old password to be refused", func() bool {
			err := c.Ping(t.Context()).Err()
			return err != nil && strings.Contains(err.Error(), "WRONGPASS")
		})
		write(t, o.PasswordFile, "new")
		if err := c.Ping(t.Context()).Err(); err != nil {
			t.Errorf("with the new password: %v", err)
		}
		if err := os.Remove(o.PasswordFile); err != nil {
			t.Fatal(err)
		}
		server.Do(t, "CLIENT", "KILL", "USER", "ann")
		redistest.Wait(t, "the missing file to be noticed", func() bool { return errors.Is(c.Ping(t.Context()).Err(), os.ErrNotExist) })
	})
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// secure starts a server of a kind that takes TLS with the authority's certificates only, and returns its address. Where the binary has no TLS,
// there is a proxy in front of it.
func secure(t *testing.T, kind redistest.Kind, ca *testca.Authority) (addr string) {
	t.Helper()
	pair := ca.Pair(t, "server", "127.0.0.1")
	if kind.TLS {
		addr := redistest.FreeAddr(t)
		_, port, _ := net.SplitHostPort(addr)
		redistest.Start(t, kind, "--tls-port", port, "--tls-cert-file", ca.Path("server.pem"), "--tls-key-file", ca.Path("server.key"), "--tls-ca-cert-file", ca.Path("ca.pem"))
		return addr
	}
	server := redistest.Start(t, kind)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { relay(conn, server.Addr) })
		}
	})
	t.Cleanup(func() { listener.Close(); running.Wait() })
	return listener.Addr().String()
}

// relay copies between a connection and a server until one of them ends.
func relay(conn net.Conn, addr string) {
	defer conn.Close()
	var d net.Dialer
	back, err := d.DialContext(context.Background(), "tcp", addr)
	if err != nil {
		return
	}
	var running sync.WaitGroup
	running.Go(func() { _, _ = io.Copy(back, conn); back.Close() })
	_, _ = io.Copy(conn, back)
	conn.Close()
	running.Wait()
}

// TestTLS shows which certificates the two sides need.
func TestTLS(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		ca, stranger := testca.New(t), testca.New(t)
		addr := secure(t, kind, ca)
		ca.Issue(t, "client", "")
		stranger.Issue(t, "client", "")
		good := Options{URL: "rediss://" + addr, CAFile: ca.Path("ca.pem"), CertFile: ca.Path("client.pem"), KeyFile: ca.Path("client.key")}
		if err := ping(t, good); err != nil {
			t.Fatal(err)
		}
		for name, change := range map[string]func(*Options){
			"no TLS":                   func(o *Options) { *o = Options{URL: "redis://" + addr} },
			"no certificate of ours":   func(o *Options) { o.CertFile, o.KeyFile = "", "" },
			"a stranger's certificate": func(o *Options) { o.CertFile, o.KeyFile = stranger.Path("client.pem"), stranger.Path("client.key") },
			"another authority":        func(o *Options) { o.CAFile = stranger.Path("ca.pem") },
			"the system's authorities": func(o *Options) { o.CAFile = "" },
			"another name": func(o *Options) {
				o.URL = strings.Replace(o.URL, "127.0.0.1", "localhost", 1)
			},
		} {
			o := good
			change(&o)
			if err := ping(t, o); err == nil {
				t.Errorf("%s: the server is used", name)
			}
		}
	})
}

// TestCertificatesRotate shows that a new connection has the certificates that are in the files then.
func TestCertificatesRotate(t *testing.T) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		ca, stranger := testca.New(t), testca.New(t)
		addr := secure(t, kind, ca)
		dir := t.TempDir()
		install := func(from *testca.Authority) {
			from.Issue(t, "client", "")
			for _, name := range []string{"ca.pem", "client.pem", "client.key"} {
				data, err := os.ReadFile(from.Path(name))
				if err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(dir, name), string(data))
			}
		}
		install(stranger)
		c := client(t, Options{
			URL: "rediss://" + addr, CAFile: filepath.Join(dir, "ca.pem"), CertFile: filepath.Join(dir, "client.pem"), KeyFile: filepath.Join(dir, "client.key"),
		})
		if err := c.Ping(t.Context()).Err(); err == nil {
			t.Error("the server is used with the certificates of a stranger")
		}
		install(ca)
		if err := c.Ping(t.Context()).Err(); err != nil {
			t.Errorf("with the new certificates: %v", err)
		}
	})
}

// TestSentinelAuth shows that Sentinels get the password only if the URL says so.
func TestSentinelAuth(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		f := redistest.StartFailover(t, kind)
		for _, s := range append(f.Sentinels[:], f.Primary, f.Replica) {
			s.Do(t, "ACL", "SETUSER", "ann", "on", ">hunter2", "~*", "&*", "+@all")
		}
		f.Sentinels[0].Do(t, "ACL", "SETUSER", "default", "resetpass", ">other")
		url := "redis-sentinel://ann:hunter2@" + f.Sentinels[0].Addr + "/" + redistest.Primary
		if err := ping(t, Options{URL: url + "?sentinel-auth=true"}); err != nil {
			t.Error(err)
		}
		if err := ping(t, Options{URL: url}); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
			t.Errorf("got error %v, want NOAUTH of the Sentinel", err)
		}
	})
}
