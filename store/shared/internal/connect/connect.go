package connect

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// limit is how long dialing, one read and one write may take each. A store that is slower than this is of no use to a
// replica, which has to say every second that it is alive.
const limit = 500 * time.Millisecond

// Options say where the store is. The files are read again for each connection, so that passwords and certificates rotate.
type Options struct {
	// URL is redis://[USER[:PASSWORD]@]HOST:PORT[/DB], redis-sentinel://[…@]HOST:PORT,…/PRIMARY[?db=DB&sentinel-auth=true] or
	// redis-cluster://[…@]HOST:PORT,…; with rediss in the place of redis for TLS.
	URL string
	// PasswordFile has the password; "": it is in the URL, or there is none. White space at its end does not count.
	PasswordFile string
	// CAFile has, in PEM, the certificates of the authorities that the server's certificate must come from; "": the system's authorities.
	CAFile string
	// CertFile and KeyFile have our own certificate and its key, in PEM; "": none.
	CertFile, KeyFile string
}

// Client returns a client. It reads each file once, so that a mistake in them is an error now, and connects when it is used.
func (o Options) Client() (redis.UniversalClient, error) {
	t, err := parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("the URL of the store %w", err)
	}
	if err := o.check(t); err != nil {
		return nil, err
	}
	_, password, err := o.credentials(t)(context.Background())
	if err != nil {
		return nil, err
	}
	if t.tls {
		if _, err := o.tlsConfig(""); err != nil {
			return nil, err
		}
	}
	switch t.kind {
	case sentinels:
		return redis.NewFailoverClient(o.failover(t, password)), nil
	case cluster:
		return redis.NewClusterClient(o.cluster(t)), nil
	}
	return redis.NewClient(o.single(t)), nil
}

// check finds options that do not fit together.
func (o Options) check(t target) error {
	switch {
	case t.password != "" && o.PasswordFile != "":
		return errors.New("the store's password is both in its URL and in a file; give one of them")
	case t.user != "" && t.password == "" && o.PasswordFile == "":
		return errors.New("the URL of the store has a user and no password; a password without a user is written as redis://:PASSWORD@HOST:PORT")
	case t.sentinelAuth && t.password == "" && o.PasswordFile == "":
		return errors.New("the URL of the store has sentinel-auth=true and there is no password")
	case !t.tls && (o.CAFile != "" || o.CertFile != "" || o.KeyFile != ""):
		return errors.New("there are certificates for the store, and its URL is not for TLS; its scheme must begin with rediss")
	case (o.CertFile == "") != (o.KeyFile == ""):
		return errors.New("a certificate for the store and its key belong together; give both files")
	}
	return nil
}

// single returns the options of a client for one server. The caller of the client sets the time limit of a whole command by its context.
// The client tries nothing again, since a caller knows whether it still wants what it wanted.
func (o Options) single(t target) *redis.Options {
	return &redis.Options{
		Addr: t.addrs[0], DB: t.db, CredentialsProviderContext: o.credentials(t), Dialer: o.dialer(t),
		DialTimeout: limit, ReadTimeout: limit, WriteTimeout: limit, PoolTimeout: limit, ContextTimeoutEnabled: true,
		MaxRetries: -1, DialerRetries: 1, PipelinePoolSize: -1, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// failover is single, for servers behind Sentinels. The library has no way to read a Sentinel's password again. Its time for dialing
// includes all questions to Sentinels, and it asks another Sentinel only if there is time left after one has not answered. Otherwise
// it would ask a Sentinel on a dead host forever. The dialer limits the time for one connection anyway.
func (o Options) failover(t target, password string) *redis.FailoverOptions {
	f := &redis.FailoverOptions{
		MasterName: t.primary, SentinelAddrs: t.addrs, DB: t.db, CredentialsProviderContext: o.credentials(t), Dialer: o.dialer(t),
		DialTimeout: 6 * limit, ReadTimeout: limit, WriteTimeout: limit, PoolTimeout: limit, ContextTimeoutEnabled: true,
		MaxRetries: -1, DialerRetries: 1, PipelinePoolSize: -1, DisableIdentity: true,
	}
	if t.sentinelAuth {
		f.SentinelUsername, f.SentinelPassword = t.user, password
	}
	return f
}

// cluster is single, for a cluster. One more attempt follows a server that says where the keys have moved to. A dead primary does not
// say it, so the client asks often which servers have which keys.
func (o Options) cluster(t target) *redis.ClusterOptions {
	return &redis.ClusterOptions{
		Addrs: t.addrs, CredentialsProviderContext: o.credentials(t), Dialer: o.dialer(t),
		DialTimeout: limit, ReadTimeout: limit, WriteTimeout: limit, PoolTimeout: limit, ContextTimeoutEnabled: true,
		MaxRedirects: 1, ClusterStateReloadInterval: 2 * time.Second, MaxRetries: -1, DialerRetries: 1, PipelinePoolSize: -1, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

// credentials returns a function that reads the user and the password.
func (o Options) credentials(t target) func(context.Context) (user, password string, err error) {
	return func(context.Context) (string, string, error) {
		if o.PasswordFile == "" {
			return t.user, t.password, nil
		}
		text, err := os.ReadFile(o.PasswordFile)
		if err != nil {
			return "", "", fmt.Errorf("reading the store's password: %w", err)
		}
		password := strings.TrimRight(string(text), " \t\r\n")
		if password == "" {
			return "", "", fmt.Errorf("the file of the store's password, %s, is empty", o.PasswordFile)
		}
		return t.user, password, nil
	}
}

// dialer returns a function that connects, and agrees on TLS. The library's own one would keep one TLS configuration forever, and
// does not limit the time of its handshake by the context.
func (o Options) dialer(t target) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil || !t.tls {
			return conn, err
		}
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		config, err := o.tlsConfig(host)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("TLS with the store at %s: %w", addr, err), conn.Close())
		}
		return secure, nil
	}
}

// tlsConfig returns the configuration for one connection, with the present content of the files.
func (o Options) tlsConfig(host string) (*tls.Config, error) {
	config := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the CA of the store: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the file of the store's CA, %s, holds no certificate", o.CAFile)
		}
	}
	if o.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("loading the certificate for the store, %s with %s: %w", o.CertFile, o.KeyFile, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
