package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"breakwater.dev/internal/testca"
)

// authority signs the certificates of a test.
type authority struct{ *testca.Authority }

// client makes a certificate of a proxy with the given URIs and DNS names.
func (a authority) client(t *testing.T, commonName string, names ...string) tls.Certificate {
	t.Helper()
	return *a.Pair(t, "client", "", func(c *x509.Certificate) {
		c.Subject.CommonName = commonName
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		for _, name := range names {
			if u, err := url.Parse(name); err == nil && u.Scheme != "" {
				c.URIs = append(c.URIs, u)
			} else {
				c.DNSNames = append(c.DNSNames, name)
			}
		}
	})
}

// served is a running control plane that requires certificates of its proxies.
type served struct {
	xds, http string
	authority authority
	log       *logBuffer
}

// logBuffer is a log that can be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// run runs a control plane until the test ends.
func run(t *testing.T, o Options) *served {
	t.Helper()
	s := &served{authority: authority{testca.New(t)}, log: &logBuffer{}}
	s.authority.Issue(t, "server", "127.0.0.1")
	o.TLS = TLS{CertFile: s.authority.Path("server.pem"), KeyFile: s.authority.Path("server.key"), ClientCAFile: s.authority.Path("ca.pem")}
	o.DrainTimeout = time.Second
	o.Log = slog.New(slog.NewTextHandler(s.log, nil))
	started, done := make(chan struct{}), make(chan error, 1)
	o.Started = func(x, h net.Addr) {
		s.xds, s.http = x.String(), h.String()
		close(started)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { done <- Run(ctx, o) }()
	select {
	case <-started:
	case err := <-done:
		cancel()
		t.Fatalf("Run has returned before it served: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v, want nil", err)
		}
		if t.Failed() {
			t.Logf("the control plane's log:\n%s", s.log)
		}
	})
	return s
}

// dial connects a proxy with a certificate.
func (s *served) dial(t *testing.T, certificate tls.Certificate) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient(s.xds, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		RootCAs: s.authority.Pool(), Certificates: []tls.Certificate{certificate}, ServerName: "127.0.0.1",
	})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// get returns the page at a path of the HTTP port.
func (s *served) get(t *testing.T, path string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	response, err := client.Get("http://" + s.http + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	}()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// breakerPage has the fields of /breakers/NAME that tests need.
type breakerPage struct {
	State  string `json:"state"`
	Probes int    `json:"probes_in_flight"`
	Counts struct {
		Requests, Failures, Rejected uint64
	} `json:"counts"`
}

func (s *served) breaker(t *testing.T, name string) breakerPage {
	t.Helper()
	var b breakerPage
	if err := json.Unmarshal([]byte(s.get(t, "/breakers/"+name)), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// eventually waits until check returns nil. The condition is for the error message.
func eventually(t *testing.T, condition string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", condition, err)
		}
		<-tick.C
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
