package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// scriptHeader is the request header that has the script of the service.
const scriptHeader = "x-script"

// serviceCall is a call in one protocol, at the side of the service.
type serviceCall interface {
	// read reads the request to its end, or only its first piece.
	read(all bool)
	// headers begins the response. style has the words for the response.
	headers(status int, style map[string]string)
	// send sends n bytes. It returns an error if the caller has left.
	send(n int) error
	// end ends the response well. grpcStatus is -1 if the script has none.
	end(grpcStatus int)
	// breakOff ends the response as "reset", "close" or "nonsense".
	breakOff(how string)
	// hang waits until the caller has left.
	hang()
}

// play runs the script of a service on a call.
func play(v serviceCall, script string) {
	style := map[string]string{}
	for _, w := range words(script) {
		switch w.name {
		case "read", "take":
			v.read(w.name == "read")
		case "after":
			pause(w.duration(), nil)
		case "events", "page", "length", "unframed":
			style[w.name] = w.value
		case "send":
			if v.send(w.size()) != nil {
				return
			}
		case "drip":
			for end := time.Now().Add(w.duration()); time.Now().Before(end); {
				if v.send(piece) != nil {
					return
				}
				pause(pieceInterval, nil)
			}
		case "grpc":
			v.end(number(w.value))
			return
		case "reset", "close", "nonsense":
			v.breakOff(w.name)
			return
		case "hang":
			v.hang()
			return
		default:
			v.headers(number(w.name), style)
		}
	}
	v.end(-1)
}

// contentType returns the content type of a response with a style. Without a style it is the usual one of the protocol.
func contentType(style map[string]string, usual string) string {
	if _, events := style["events"]; events {
		return "text/event-stream"
	}
	if _, page := style["page"]; page {
		return "text/html"
	}
	return usual
}

// sendAll sends n bytes in pieces that no protocol must split.
func sendAll(n int, send func([]byte) error) error {
	const most = 16 << 10
	for n > 0 {
		part := min(n, most)
		if err := send(make([]byte, part)); err != nil {
			return err
		}
		n -= part
	}
	return nil
}

// connectionKey is the key of the connection in the context of a request.
type connectionKey struct{}

// newHTTP2Server starts a scripted service that speaks HTTP/2 without TLS. It also serves gRPC calls, and can break the rules of
// gRPC.
func newHTTP2Server(t *testing.T, ip string) (address string) {
	t.Helper()
	l := listen(t, ip)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			play(&http2ServiceCall{w: w, r: r, isGRPC: strings.HasPrefix(r.Header.Get("content-type"), "application/grpc")}, r.Header.Get(scriptHeader))
		}),
		ErrorLog:  noLog,
		Protocols: new(http.Protocols),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, c)
		},
	}
	server.Protocols.SetUnencryptedHTTP2(true)
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

func listen(t *testing.T, ip string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// http2ServiceCall is a call of HTTP/2, or a gRPC call without a gRPC library.
type http2ServiceCall struct {
	w             http.ResponseWriter
	r             *http.Request
	isGRPC, begun bool
}

func (v *http2ServiceCall) read(all bool) { readBody(v.r, all) }

func (v *http2ServiceCall) headers(status int, style map[string]string) {
	usual := ""
	if v.isGRPC {
		usual = "application/grpc"
	}
	if kind := contentType(style, usual); kind != "" {
		v.w.Header().Set("content-type", kind)
	}
	if length := style["length"]; length != "" {
		v.w.Header().Set("content-length", length)
	}
	v.w.WriteHeader(status)
	v.flush()
	v.begun = true
}

func (v *http2ServiceCall) flush() { _ = http.NewResponseController(v.w).Flush() } // send returns an error if the caller has left

func (v *http2ServiceCall) send(n int) error {
	defer v.flush()
	return sendAll(n, func(b []byte) error {
		if v.isGRPC {
			n := len(b)
			b = append([]byte{0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, b...)
		}
		if _, err := v.w.Write(b); err != nil {
			return err
		}
		return v.r.Context().Err()
	})
}

func (v *http2ServiceCall) end(grpcStatus int) {
	if grpcStatus < 0 {
		return
	}
	name := http.TrailerPrefix + "Grpc-Status"
	if !v.begun {
		name = "Grpc-Status"
		v.w.Header().Set("content-type", "application/grpc")
	}
	v.w.Header().Set(name, strconv.Itoa(grpcStatus))
}

func (v *http2ServiceCall) breakOff(how string) {
	if how == "close" {
		v.r.Context().Value(connectionKey{}).(net.Conn).Close()
	}
	panic(http.ErrAbortHandler) // makes the server reset the stream without a log line
}

func (v *http2ServiceCall) hang() { <-v.r.Context().Done() }

// bytesCodec is a codec for messages that are any bytes.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (bytesCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}

func (bytesCodec) Name() string { return "proto" }

// newGRPCServer starts a scripted service with gRPC's own server, which applies the deadlines of its callers.
func newGRPCServer(t *testing.T, ip string) (address string) {
	t.Helper()
	l := listen(t, ip)
	s := grpc.NewServer(grpc.ForceServerCodec(bytesCodec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(stream.Context())
		v := &grpcServiceCall{stream: stream}
		play(v, strings.Join(md.Get(scriptHeader), " "))
		return v.result
	}))
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// grpcServiceCall is a call of gRPC's own server.
type grpcServiceCall struct {
	stream grpc.ServerStream
	result error
}

func (v *grpcServiceCall) read(all bool) {
	var message []byte
	for err := v.stream.RecvMsg(&message); err == nil && all; {
		err = v.stream.RecvMsg(&message)
	}
}

func (v *grpcServiceCall) headers(int, map[string]string) {
	if err := v.stream.SendHeader(nil); err != nil {
		v.result = err
	}
}

func (v *grpcServiceCall) send(n int) error {
	return sendAll(n, func(b []byte) error { return v.stream.SendMsg(&b) })
}

func (v *grpcServiceCall) end(grpcStatus int) {
	if grpcStatus > 0 {
		v.result = status.Error(codes.Code(grpcStatus), "the status of the script")
	}
}

func (v *grpcServiceCall) breakOff(how string) {
	v.result = status.Error(codes.Internal, fmt.Sprintf("gRPC's own server cannot do %q", how))
}

func (v *grpcServiceCall) hang() {
	<-v.stream.Context().Done()
	v.result = status.FromContextError(v.stream.Context().Err()).Err()
}
