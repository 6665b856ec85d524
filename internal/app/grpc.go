package app

import (
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"breakwater.dev/feed"
)

// minimumPing is how often a proxy may ping; bootstraps ask for a ping every 10 s.
const minimumPing = 5 * time.Second

// grpcServer makes the server for proxies, and returns what to call when it is done with.
func (a *app) grpcServer() (*grpc.Server, func(), error) {
	options := []grpc.ServerOption{
		// A proxy that vanished without a word must not hold permits and streams for long.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 15 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minimumPing, PermitWithoutStream: true}),
		grpc.StreamInterceptor(recovered(a.log)),
		grpc.ForceServerCodecV2(feed.Codec()), // all others as ever, access logs unread
	}
	done := func() {}
	if a.options.TLS.Enabled() {
		credentials, stop, err := a.options.TLS.credentials()
		if err != nil {
			return nil, nil, fmt.Errorf("TLS for proxies: %w", err)
		}
		watched := watchedCredentials{TransportCredentials: credentials, failed: func(remote net.Addr, err error) {
			a.handshakes.failed("proxies", remote, err)
		}}
		options, done = append(options, grpc.Creds(watched)), stop
	} else if err := a.plainAllowed(); err != nil {
		return nil, nil, err
	}
	server := grpc.NewServer(options...)
	a.xds.Register(server)
	a.extproc.Register(server)
	a.feed.Register(server)
	return server, done, nil
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
