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

	"breakwater.dev/extproc"
	"breakwater.dev/feed"
	"breakwater.dev/internal/aging"
	"breakwater.dev/internal/guard"
	"breakwater.dev/internal/handshakes"
	"breakwater.dev/xds/discovery"
)

// Limits of one connection.
const (
	maxStreams       = 1_024            // Envoy 1.40 opens another connection when it has 1,024 streams on one
	handshakeTimeout = 10 * time.Second // from accept to the first settings of HTTP/2
	maxIdle          = 10 * time.Minute // without a stream; then the connection is closed with a GOAWAY, which loses no request
	maxHeaders       = 16 << 10
	maxMessage       = 2 << 20 // a proxy that reconnects sends the names and versions of up to 20,000 resources
	readBuffer       = 4 << 10
)

// The windows of flow control, in bytes. gRPC would look for better ones: with a ping for each message that comes, which wakes both
// ends once more. Messages are small, and come often.
const (
	streamWindow     = 64 << 10
	connectionWindow = 1 << 20
)

// minimumPing is the shortest time between two pings of a proxy. A bootstrap for several replicas asks for one every 1.2 s,
// and for one ahead of a request that asks when nothing has come for 0.5 s.
const minimumPing = 500 * time.Millisecond

// grpcServer makes the server for proxies. The caller calls the returned function when the server has stopped.
func (a *app) grpcServer() (*grpc.Server, func(), error) {
	options := []grpc.ServerOption{
		// A proxy whose host has vanished must not hold permits and streams for long.
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: 15 * time.Second, Timeout: 10 * time.Second, MaxConnectionIdle: maxIdle,
			MaxConnectionAge: a.connectionAge(), // without a grace: no connection is closed as long as it has streams
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minimumPing, PermitWithoutStream: true}),
		grpc.StreamInterceptor(a.intercept()), grpc.UnknownServiceHandler(refuseMethod),
		grpc.ForceServerCodecV2(discovery.Codec(feed.Codec())), // each has its own messages, and leaves the others to gRPC
		grpc.MaxConcurrentStreams(maxStreams), grpc.ConnectionTimeout(handshakeTimeout),
		grpc.MaxHeaderListSize(maxHeaders), grpc.MaxRecvMsgSize(maxMessage),
		// There are many connections, and most are quiet: 32 KiB for each read buffer is too much. Write buffers are shared by gRPC.
		grpc.ReadBufferSize(readBuffer),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connectionWindow),
	}
	secured, done := insecure.NewCredentials(), func() {}
	if a.options.TLS.Enabled() {
		var err error
		if secured, done, err = a.options.TLS.credentials(); err != nil {
			return nil, nil, fmt.Errorf("TLS for proxies: %w", err)
		}
		secured = handshakes.Credentials{TransportCredentials: secured, Failed: func(remote net.Addr, err error) {
			a.handshakes.Failed("proxies", remote, err)
		}}
	} else if err := a.checkPlainText(); err != nil {
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
	if a.replicas != nil {
		a.replicas.Register(server)
	}
	return server, done, nil
}

// connectionAge returns how old connections of proxies may become; 0: they have no age.
func (a *app) connectionAge() time.Duration {
	if !a.options.Replicas.Enabled() {
		return 0 // there is no other replica to go to
	}
	return a.options.Replicas.ConnectionAge
}

// intercept returns the interceptor of all streams. It calls a handler with few frames on the stack: each request that asks is a stream
// with a goroutine of its own, whose stack would have to grow for more.
func (a *app) intercept() grpc.StreamServerInterceptor {
	recovering := recoverPanics(a.log)
	if a.replicas == nil {
		return recovering
	}
	var aged grpc.StreamServerInterceptor
	if age := a.connectionAge(); age > 0 {
		aged = aging.Interceptor(age)
	}
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		if err := a.replicas.Await(stream.Context(), info.FullMethod); err != nil {
			return err
		}
		if aged == nil || extproc.Serves(info.FullMethod) { // streams of requests end by themselves
			return recovering(srv, stream, info, handler)
		}
		return aged(srv, stream, info, func(srv any, stream grpc.ServerStream) error { return recovering(srv, stream, info, handler) })
	}
}

// proxyMemory returns how many bytes all proxies together may use.
func proxyMemory(mib int) int64 {
	if mib > 0 {
		return int64(mib) << 20
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit / 5 * 2
	}
	return guard.DefaultMemory
}

// checkIdentity returns an error if there are rules of identity and no certificates to apply them to. It warns if there
// are certificates and no rules.
func (a *app) checkIdentity() error {
	switch rules, certificates := len(a.options.NodeIdentity) > 0, a.options.TLS.Enabled(); {
	case rules && !certificates:
		return errors.New("--node-identity needs the proxies' certificates; give --tls-cert, --tls-key and --tls-client-ca")
	case certificates && !rules:
		a.log.Warn("any proxy with a certificate of the client CA may claim to be any other; give --node-identity to bind them")
	}
	return nil
}

// checkPlainText returns an error if other hosts could connect to the port for proxies in plain text, unless the operator
// allows that.
func (a *app) checkPlainText() error {
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

// refuseMethod answers a stream whose method does not exist. It counts as a stream that the proxy has reset, because both
// cost work and carry no message.
func refuseMethod(_ any, stream grpc.ServerStream) error {
	guard.PeerFrom(stream.Context()).Reset()
	method, _ := grpc.MethodFromServerStream(stream)
	return status.Errorf(codes.Unimplemented, "there is no method %.100q", method)
}

// recoverPanics ends only the stream whose handler panics, so that a bug in one stream does not end the process.
func recoverPanics(log *slog.Logger) grpc.StreamServerInterceptor {
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
