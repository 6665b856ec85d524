package wire

import (
	"testing"
	"time"
)

// TestDeadlineOf reads values of grpc-timeout (gRPC over HTTP/2: at most eight digits and a unit).
func TestDeadlineOf(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"25m": 25 * time.Millisecond, "1S": time.Second, "2M": 2 * time.Minute, "3H": 3 * time.Hour, "7u": 7 * time.Microsecond, "99999999n": 99999999,
		"": 0, "m": 0, "5": 0, "5x": 0, "-5m": 0, "1.5S": 0, "123456789m": 0, " 5m": 0,
	} {
		if got, bytes := DeadlineOf(text), DeadlineOf([]byte(text)); got != want || bytes != want {
			t.Errorf("%q: %s and %s, want %s", text, got, bytes, want)
		}
	}
}

// TestGRPCStatusOf shows that a text that is no status counts as UNKNOWN.
func TestGRPCStatusOf(t *testing.T) {
	for text, want := range map[string]GRPCStatus{
		"0": 0, "14": 14, "9999": 9999, "": UnknownGRPCStatus, "-1": UnknownGRPCStatus, "x": UnknownGRPCStatus, "99999999999999999999": UnknownGRPCStatus,
	} {
		if got := GRPCStatusOf(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// TestProbes shows that every probe's id is read as it was printed.
func TestProbes(t *testing.T) {
	for _, id := range []uint32{1, 4, 1<<32 - 1} {
		if process, got := ProbeOf([]byte(Probe(7, id))); process != 7 || got != id {
			t.Errorf("%d of process 7 was read as %d of process %d", id, got, process)
		}
	}
	for _, text := range []string{"", "x", "-1", "10000000000000000"} {
		if process, got := ProbeOf([]byte(text)); process != 0 || got != 0 {
			t.Errorf("%q was read as %d of process %d, want 0", text, got, process)
		}
	}
}

// TestTimes reads values of the header that a proxy adds for ext_proc.
func TestTimes(t *testing.T) {
	for text, want := range map[string][2]time.Duration{
		"52/702547": {52 * time.Microsecond, 702547 * time.Microsecond}, "-/7": {-1, 7 * time.Microsecond}, "0/-": {0, -1},
		"": {-1, -1}, "-": {-1, -1}, "x/y": {-1, -1}, "-5/9999999999999999999": {-1, -1},
	} {
		if end, headers := Times(text); end != want[0] || headers != want[1] {
			t.Errorf("%q: %s and %s, want %v", text, end, headers, want)
		}
	}
}

// TestIsUpgrade shows that only a WebSocket is an upgrade here.
func TestIsUpgrade(t *testing.T) {
	for text, want := range map[string]bool{"websocket": true, "WebSocket": true, "h2c": false, "": false} {
		if got := IsUpgrade(text); got != want {
			t.Errorf("%q: %t, want %t", text, got, want)
		}
	}
}

// TestTexts reads Envoy's details and content types.
func TestTexts(t *testing.T) {
	for text, want := range map[string]Details{
		"": Passed, "via_upstream": Passed, "max_duration_timeout": MaxDuration, "lua_response": Copied,
		"direct_response": Proxy, "upstream_reset_after_response_started{remote_reset}": Proxy,
	} {
		if got := DetailsOf([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	for text, want := range map[string][2]bool{
		"application/grpc": {true, false}, "application/grpc+proto": {true, false}, "application/json": {},
		"text/event-stream; charset=utf-8": {false, true}, "text/html": {}, "": {},
	} {
		if got := [2]bool{IsGRPC(text), IsEventStream(text)}; got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	if got := FlagsOfAttribute(1 << 2); got != UpstreamTimeout {
		t.Errorf("the attribute's bit 2 is %b, want UT", got)
	}
}
