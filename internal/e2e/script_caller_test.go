package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// clientCall is a call in one protocol, at the side of the caller.
type clientCall interface {
	// write sends a piece of the request's body. Errors do not matter to the caller.
	write(b []byte)
	// finish ends the request.
	finish()
	// read waits for the end of the response. It returns the status, or "" if there was none, and the error that cut the
	// response, or nil. It calls answered when the headers have come.
	read(answered func()) (status string, cut error)
	// leave ends the call. Other methods return at once, or when they notice the end.
	leave(drop bool)
}

// seen is the result of a call for its caller.
type seen struct {
	result string // such as "200", "OK", "200, cut", "nothing", or "left"
	took   time.Duration
}

func (s seen) String() string { return fmt.Sprintf("%s in %.1fs", s.result, s.took.Seconds()) }

// run runs a call by the plan. The caller leaves when ctx ends.
func (p *plan) run(ctx context.Context, l clientCall) seen {
	began := time.Now()
	var left atomic.Bool
	answered, over := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	leave := func(drop bool) {
		left.Store(true)
		l.leave(drop)
	}
	wg.Go(func() {
		select {
		case <-ctx.Done():
			leave(false)
		case <-over:
		}
	})
	wg.Go(func() {
		for i := range p.pieces() {
			l.write(make([]byte, piece))
			// Each piece has its time, so that an upload does not take longer on a busy machine.
			if !pause(time.Until(began.Add(time.Duration(i+1)*pieceInterval)), over) {
				return
			}
		}
		if !p.unfinished && !p.malformed {
			l.finish()
		}
		if p.answered {
			select {
			case <-answered:
			case <-over:
			}
		}
		if p.malformed {
			l.write([]byte("this is no chunk\r\n"))
		}
		if p.leaves && pause(p.leave, over) {
			leave(p.drops)
		}
	})
	status, cut := l.read(func() { close(answered) })
	close(over)
	wg.Wait()
	s := seen{result: status, took: time.Since(began)}
	switch {
	case left.Load():
		s.result = "left"
	case status == "":
		s.result = "nothing"
	case cut != nil:
		s.result += ", cut"
	}
	return s
}

// consume reads a body to its end, at the speed of the plan.
func (p *plan) consume(body io.Reader) error {
	if p.slowly == 0 {
		_, err := io.Copy(io.Discard, body)
		return err
	}
	for began := time.Now(); ; {
		if _, err := io.CopyN(io.Discard, body, 64<<10); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if p.hurry == 0 || time.Since(began) < p.hurry {
			pause(p.slowly, nil)
		}
	}
}

// http1ClientCall is a call of HTTP/1.1, over a connection of its own.
type http1ClientCall struct {
	plan *plan
	c    *net.TCPConn
	get  *http.Request
}

func newHTTP1ClientCall(egress string, host, script string, p *plan) (*http1ClientCall, error) {
	c, err := net.Dial("tcp", egress)
	if err != nil {
		return nil, err
	}
	l := &http1ClientCall{plan: p, c: c.(*net.TCPConn), get: &http.Request{Method: http.MethodGet}}
	if p.slowly > 0 {
		err = l.c.SetReadBuffer(256 << 10)
	}
	if err == nil {
		err = c.SetDeadline(time.Now().Add(patience))
	}
	head := fmt.Sprintf(" / HTTP/1.1\r\nhost: %s\r\n%s: %s\r\n", host, scriptHeader, script)
	switch {
	case p.upgrade:
		head = "GET" + head + "connection: upgrade\r\nupgrade: websocket\r\n"
	case p.chunked || p.malformed:
		head = "POST" + head + "transfer-encoding: chunked\r\n"
	case p.upload > 0:
		length := p.pieces() * piece
		if p.unfinished {
			length += piece
		}
		head = "POST" + head + fmt.Sprintf("content-length: %d\r\n", length)
	default:
		head = "GET" + head
	}
	if err == nil {
		_, err = io.WriteString(c, head+"\r\n")
	}
	return l, err
}

func (l *http1ClientCall) write(b []byte) {
	if l.plan.chunked || l.plan.malformed && len(b) == piece {
		b = fmt.Appendf(nil, "%x\r\n%s\r\n", len(b), b)
	}
	_, _ = l.c.Write(b)
}

func (l *http1ClientCall) finish() {
	if l.plan.chunked {
		_, _ = io.WriteString(l.c, "0\r\n\r\n")
	}
}

func (l *http1ClientCall) read(answered func()) (string, error) {
	defer l.c.Close()
	in := bufio.NewReader(l.c)
	r, err := http.ReadResponse(in, l.get)
	if err != nil {
		return "", err
	}
	answered()
	status := fmt.Sprint(r.StatusCode)
	if r.StatusCode == http.StatusSwitchingProtocols {
		return status, l.plan.consume(in)
	}
	return status, l.plan.consume(r.Body)
}

func (l *http1ClientCall) leave(bool) { l.c.Close() }

// http2Client has the connection that all callers of a host share.
type http2Client struct {
	transport *http.Transport
	mu        sync.Mutex
	c         net.Conn
}

func newHTTP2Client(egress string) *http2Client {
	client := &http2Client{}
	client.transport = &http.Transport{
		Protocols: new(http.Protocols), DisableCompression: true,
		// With small windows, bytes that a slow caller does not read wait in the proxy.
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", egress)
			client.mu.Lock()
			defer client.mu.Unlock()
			client.c = c
			return c, err
		},
	}
	client.transport.Protocols.SetUnencryptedHTTP2(true)
	return client
}

// http2ClientCall is a call of HTTP/2.
type http2ClientCall struct {
	plan   *plan
	client *http2Client
	r      *http.Request
	body   *io.PipeWriter
	cancel context.CancelFunc
}

func newHTTP2ClientCall(client *http2Client, host, script string, p *plan) (*http2ClientCall, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	l := &http2ClientCall{plan: p, client: client, cancel: cancel}
	method, body := http.MethodGet, io.Reader(nil)
	if p.upload > 0 {
		method = http.MethodPost
		body, l.body = io.Pipe()
	}
	var err error
	l.r, err = http.NewRequestWithContext(ctx, method, "http://"+host+"/", body)
	if err != nil {
		return nil, err
	}
	l.r.Header.Set(scriptHeader, script)
	if p.upload > 0 && !p.chunked && !p.unfinished {
		l.r.ContentLength = int64(p.pieces() * piece)
	}
	return l, nil
}

func (l *http2ClientCall) write(b []byte) { _, _ = l.body.Write(b) }

func (l *http2ClientCall) finish() {
	if l.body != nil {
		l.body.Close()
	}
}

func (l *http2ClientCall) read(answered func()) (string, error) {
	defer l.leave(false) // the caller does not wait until the rest of its body is sent
	r, err := l.client.transport.RoundTrip(l.r)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	answered()
	return fmt.Sprint(r.StatusCode), l.plan.consume(r.Body)
}

func (l *http2ClientCall) leave(drop bool) {
	if drop {
		l.client.mu.Lock()
		defer l.client.mu.Unlock()
		l.client.c.Close()
		return
	}
	l.cancel()
	if l.body != nil {
		l.body.CloseWithError(context.Canceled)
	}
}

// grpcClientCall is a call with gRPC's own client.
type grpcClientCall struct {
	conn   *grpc.ClientConn
	stream grpc.ClientStream
	err    error // not nil: there is no stream
	single bool  // the request is one message
	cancel context.CancelFunc
}

func newGRPCClientCall(conn *grpc.ClientConn, script string, p *plan) *grpcClientCall {
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), scriptHeader, script), patience)
	if p.deadline > 0 {
		ctx, cancel = context.WithTimeout(ctx, p.deadline)
	}
	l := &grpcClientCall{conn: conn, cancel: cancel, single: p.upload == 0}
	desc := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	l.stream, l.err = conn.NewStream(ctx, desc, "/script.Script/Play", grpc.ForceCodec(bytesCodec{}))
	return l
}

func (l *grpcClientCall) write(b []byte) {
	if l.err == nil {
		_ = l.stream.SendMsg(&b)
	}
}

func (l *grpcClientCall) finish() {
	if l.single {
		l.write(make([]byte, piece))
	}
	if l.err == nil {
		_ = l.stream.CloseSend()
	}
}

func (l *grpcClientCall) read(answered func()) (string, error) {
	defer l.cancel()
	err := l.err
	if err == nil {
		if _, err := l.stream.Header(); err == nil { // after an error, only the status is left to read
			answered()
		}
	}
	for {
		if err == io.EOF {
			return "OK", nil
		}
		if err != nil {
			return strings.ToUpper(status.Code(err).String()), nil
		}
		var message []byte
		err = l.stream.RecvMsg(&message)
	}
}

func (l *grpcClientCall) leave(drop bool) {
	if drop {
		l.conn.Close()
		return
	}
	l.cancel()
}
