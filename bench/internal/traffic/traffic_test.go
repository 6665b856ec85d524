package traffic

import (
	"bufio"
	"context"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReadResponse(t *testing.T) {
	in := bufio.NewReader(strings.NewReader(string(okResponse) + string(errorResponse) + "HTTP/1.1 2x0\r\n\r\n"))
	for _, want := range []int{200, 500} {
		if got, err := readResponse(in); err != nil || got != want {
			t.Errorf("got %d and error %v, want %d", got, err, want)
		}
	}
	if _, err := readResponse(in); err == nil {
		t.Error("a status that is no number gave no error")
	}
}

// TestBothEnds shows that callers and service count the same requests, and that an unexpected status is an error.
func TestBothEnds(t *testing.T) {
	u, err := StartUpstream()
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	to := Destination{Egress: u.Address(), Host: "payments", Status: 200}
	sent, err := Flood(t.Context(), to, 3, 50*time.Millisecond)
	if calls, most := u.Seen(); err != nil || sent == 0 || calls != int64(sent) || most < 1 || most > 3 {
		t.Errorf("%d sent and %d seen, %d at once, error %v", sent, calls, most, err)
	}
	u.Forget()
	u.Behave(func() bool { return false })
	if _, err := Flood(t.Context(), to, 1, time.Minute); err == nil {
		t.Error("responses with status 500 gave no error, and 200 is expected")
	}
	if calls, _ := u.Seen(); calls != 1 {
		t.Errorf("%d requests after the first unexpected response, want none", calls-1)
	}
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	calls, err := Steady(ctx, to, 1000, 4)
	if err != nil || len(calls) == 0 || len(calls) > 110 {
		t.Fatalf("%d requests at 1000/s in 100 ms, error %v", len(calls), err)
	}
	if calls[0].Status != 500 {
		t.Errorf("status %d, want 500", calls[0].Status)
	}
	if all := Latencies(calls); len(all) != len(calls) || !slices.IsSorted(all) {
		t.Errorf("latencies %v of %d requests", all, len(calls))
	}
}
