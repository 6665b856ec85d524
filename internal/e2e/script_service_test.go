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

// scriptHeader is the header of a request in which the service finds its script.
const scriptHeader = "x-script"

// voice is how a scripted service speaks about one call, in one protocol.
type voice interface {
	// read takes the request, to its end or only its first piece.
	read(all bool)
	// headers begins the response. style are the words before it.
	headers(status int, style map[string]string)
	// send sends so many bytes, and fails when nobody takes them any more.
	send(n int) error
	// end ends the response well; grpcStatus is -1 where the script has none.
	end(grpcStatus int)
	// breakOff is for "reset", "close" and "nonsense".
	breakOff(how string)
	hang()
}

// play does with a call what its script says.
func play(v voice, script string) {
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
				pause(beat, nil)
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

// contentType is that of a response in a style, "" if the protocol has none of its own.
func contentType(style map[string]string, usual string) string {
	if _, events := style["events"]; events {
		return "text/event-stream"
	}
	if _, page := style["page"]; page {
		return "text/html"
	}
	return usual
}

// sendAll sends n bytes in pieces that no protocol has to split.
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

// connectionKey is under which the context of a request has its connection.
type connectionKey struct{}

// newHTTP2Server starts a scripted service that speaks HTTP/2 without TLS. Since it is held to no
// rules of gRPC, it serves for gRPC services too that break them.
func newHTTP2Server(t *testing.T, ip string) (address string) {
	t.Helper()
	l := listen(t, ip)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			play(&http2Voice{w: w, r: r, isGRPC: strings.HasPrefix(r.Header.Get("content-type"), "application/grpc")}, r.Header.Get(scriptHeader))
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

type http2Voice struct {
	w             http.ResponseWriter
	r             *http.Request
	isGRPC, begun bool
}

func (v *http2Voice) read(all bool) { readBody(v.r, all) }

func (v *http2Voice) headers(status int, style map[string]string) {
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

func (v *http2Voice) flush() { _ = http.NewResponseController(v.w).Flush() } // send reports that nobody listens

func (v *http2Voice) send(n int) error {
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

func (v *http2Voice) end(grpcStatus int) {
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

func (v *http2Voice) breakOff(how string) {
	if how == "close" {
		v.r.Context().Value(connectionKey{}).(net.Conn).Close()
	}
	panic(http.ErrAbortHandler) // the server resets the stream, and says nothing of it
}

func (v *http2Voice) hang() { <-v.r.Context().Done() }

// bytesCodec lets calls have any bytes as their messages.
type bytesCodec struct{}

func (bytesCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (bytesCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}

func (bytesCodec) Name() string { return "proto" }

// newGRPCServer starts a scripted service with gRPC's own server, which has every call's deadline
// in its context.
func newGRPCServer(t *testing.T, ip string) (address string) {
	t.Helper()
	l := listen(t, ip)
	s := grpc.NewServer(grpc.ForceServerCodec(bytesCodec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(stream.Context())
		v := &grpcVoice{stream: stream}
		play(v, strings.Join(md.Get(scriptHeader), " "))
		return v.result
	}))
	go s.Serve(l)
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

type grpcVoice struct {
	stream grpc.ServerStream
	result error
}

func (v *grpcVoice) read(all bool) {
	var message []byte
	for err := v.stream.RecvMsg(&message); err == nil && all; {
		err = v.stream.RecvMsg(&message)
	}
}

func (v *grpcVoice) headers(int, map[string]string) {
	if err := v.stream.SendHeader(nil); err != nil {
		v.result = err
	}
}

func (v *grpcVoice) send(n int) error {
	return sendAll(n, func(b []byte) error { return v.stream.SendMsg(&b) })
}

func (v *grpcVoice) end(grpcStatus int) {
	if grpcStatus > 0 {
		v.result = status.Error(codes.Code(grpcStatus), "as its script has it")
	}
}

func (v *grpcVoice) breakOff(how string) {
	v.result = status.Error(codes.Internal, fmt.Sprintf("gRPC's own server cannot do %q", how))
}

func (v *grpcVoice) hang() {
	<-v.stream.Context().Done()
	v.result = status.FromContextError(v.stream.Context().Err()).Err()
}
