package app

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"breakwater.dev/feed"
	"breakwater.dev/internal/guard"
)

// Bounds on one connection. An Envoy (1.40) opens another one when it has 1,024 streams on one.
const (
	maxStreams       = 1_024
	handshakeTimeout = 10 * time.Second // from being accepted to the first settings of HTTP/2
	maxIdle          = 10 * time.Minute // without a stream; then it is closed as HTTP/2 has it, which loses no call
	maxHeaders       = 16 << 10
	maxMessage       = 2 << 20 // the names and versions of some 20,000 resources, when a proxy comes back
	readBuffer       = 4 << 10
)

// minimumPing is how often a proxy may ping; bootstraps ask for a ping every 10 s.
const minimumPing = 5 * time.Second

// grpcServer makes the server for proxies, and returns what to call when it is done with.
func (a *app) grpcServer() (*grpc.Server, func(), error) {
	options := []grpc.ServerOption{
		// A proxy that vanished without a word must not hold permits and streams for long.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 15 * time.Second, Timeout: 10 * time.Second, MaxConnectionIdle: maxIdle}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minimumPing, PermitWithoutStream: true}),
		grpc.StreamInterceptor(recovered(a.log)), grpc.UnknownServiceHandler(unknown),
		grpc.ForceServerCodecV2(exact{feed.Codec()}), // all others as ever, access logs unread
		grpc.MaxConcurrentStreams(maxStreams), grpc.ConnectionTimeout(handshakeTimeout),
		grpc.MaxHeaderListSize(maxHeaders), grpc.MaxRecvMsgSize(maxMessage),
		// Connections are many, and most of them quiet: a buffer of 32 KiB for each is too much, and gRPC shares those for writing.
		grpc.ReadBufferSize(readBuffer),
	}
	secured, done := insecure.NewCredentials(), func() {}
	if a.options.TLS.Enabled() {
		var err error
		if secured, done, err = a.options.TLS.credentials(); err != nil {
			return nil, nil, fmt.Errorf("TLS for proxies: %w", err)
		}
		secured = watchedCredentials{TransportCredentials: secured, failed: func(remote net.Addr, err error) {
			a.handshakes.failed("proxies", remote, err)
		}}
	} else if err := a.plainAllowed(); err != nil {
		return nil, nil, err
	}
	if err := a.checkIdentity(); err != nil {
		done()
		return nil, nil, err
	}
	server := grpc.NewServer(append(options, grpc.Creds(a.guard.Credentials(secured)))...)
	a.xds.Register(server)
	a.extproc.Register(server)
	a.feed.Register(server)
	return server, done, nil
}

// proxyMemory is how many bytes proxies may hold.
func proxyMemory(mib int) int64 {
	if mib > 0 {
		return int64(mib) << 20
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit / 5 * 2
	}
	return guard.DefaultMemory
}

// checkIdentity sees to it that rules of identity have certificates to judge by, and says what
// holds where there are no rules.
func (a *app) checkIdentity() error {
	switch rules, certificates := len(a.options.NodeIdentity) > 0, a.options.TLS.Enabled(); {
	case rules && !certificates:
		return errors.New("--node-identity needs the proxies' certificates; give --tls-cert, --tls-key and --tls-client-ca")
	case certificates && !rules:
		a.log.Warn("any proxy with a certificate of the client CA may claim to be any other; give --node-identity to bind them")
	}
	return nil
}

// plainAllowed refuses plain text where others could listen in or connect.
func (a *app) plainAllowed() error {
	host, _, err := net.SplitHostPort(a.options.XDSListen)
	if err != nil {
		return fmt.Errorf("--xds-listen = %q; must be host:port", a.options.XDSListen)
	}
	ip := net.ParseIP(host)
	if a.options.Insecure || host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return fmt.Errorf("--xds-listen = %q without TLS: anybody who reaches it can read the configuration and report outcomes; "+
		"give --tls-cert, --tls-key and --tls-client-ca, or say --insecure", a.options.XDSListen)
}

// unknown answers streams of a method that there is not. They say nothing, as those do that are
// reset, and count as such.
func unknown(_ any, stream grpc.ServerStream) error {
	guard.PeerFrom(stream.Context()).Reset()
	method, _ := grpc.MethodFromServerStream(stream)
	return status.Errorf(codes.Unimplemented, "there is no method %.100q", method)
}

// recovered keeps a bug in one stream from ending the process, and with it all others.
func recovered(log *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		defer func() {
			if r := recover(); r != nil {
				log.Error("a stream's handler panicked; this is a bug", "method", info.FullMethod,
					"panic", fmt.Sprint(r), "stack", string(debug.Stack()))
				err = status.Error(codes.Internal, "internal error")
			}
		}()
		return handler(srv, stream)
	}
}
