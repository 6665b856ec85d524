package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestServerIsSomethingElse: the error about a wrong port names the protocol that is there.
func TestServerIsSomethingElse(t *testing.T) {
	noEnvironment(t)
	f := newFake(t, map[string]string{"GET /breakers": "200\n" + `{"breakers":[]}`})
	proxies := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
	}))
	proxies.Config.Protocols = new(http.Protocols)
	proxies.Config.Protocols.SetUnencryptedHTTP2(true)
	proxies.Start()
	t.Cleanup(proxies.Close)
	secure := silentTLS(t)
	address := f.Listener.Addr().String()
	for _, c := range []struct {
		server string
		code   int
		want   string
	}{
		{address, 0, "no breakers"},
		{f.URL, 0, "no breakers"},
		{"https://" + address, 1, "it speaks plain HTTP; begin it with http://"},
		{proxies.Listener.Addr().String(), 1, "it speaks gRPC; that is how it speaks to proxies, at its --xds-listen"},
		{secure, 1, "it speaks TLS"},
	} {
		var stdout, stderr strings.Builder
		code := run([]string{"breakers", "list", "--server", c.server}, &stdout, &stderr)
		if code != c.code || !strings.Contains(stdout.String()+stderr.String(), c.want) {
			t.Errorf("--server %s: exit code %d, got %s%s, want %q", c.server, code, &stdout, &stderr, c.want)
		}
	}
}

// silentTLS is a server that wants certificates of its clients, as that for proxies does.
func silentTLS(t *testing.T) (address string) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS() // which has a certificate
	certificates := s.TLS.Certificates
	s.Close()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certificates, ClientAuth: tls.RequireAnyClientCert})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*tls.Conn).Handshake() // sends the alert
			conn.Close()
		}
	}()
	return l.Addr().String()
}

func TestInstance(t *testing.T) {
	host := func() (string, error) { return "pod-1", nil }
	none := func() (string, error) { return "", fmt.Errorf("no name") }
	env := func(value string) func(string) string {
		return func(name string) string { return map[string]string{instanceEnv: value}[name] }
	}
	for _, c := range []struct {
		flag, env string
		host      func() (string, error)
		want      string
	}{
		{"a", "b", host, "a"}, {"", "b", host, "b"}, {"", "", host, "pod-1"}, {"", "", none, "unnamed"},
	} {
		if got := instance(c.flag, env(c.env), c.host); got != c.want {
			t.Errorf("--instance=%q $%s=%q: got %q, want %q", c.flag, instanceEnv, c.env, got, c.want)
		}
	}
}

// TestCompletion: a shell offers files where paths are meant, and nowhere else. The last line
// says so: 0 is names of files, 4 is none.
func TestCompletion(t *testing.T) {
	for args, want := range map[string]string{
		"serve ": ":0\n", "render ": ":0\n", "validate ": ":0\n", "serve --policy ": ":0\n",
		"version ": ":4\n", "serve --instance ": ":4\n", "versio": "version\tPrint the version\n:4\n",
	} {
		var stdout, stderr strings.Builder
		code := run(append([]string{"__complete"}, strings.Split(args, " ")...), &stdout, &stderr)
		if code != 0 || stdout.String() != want {
			t.Errorf("%q: exit code %d, got %q, want %q", args, code, &stdout, want)
		}
	}
}
