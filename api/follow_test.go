package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestFollow reads transitions, heartbeats and what was lost, until the control plane ends the stream.
func TestFollow(t *testing.T) {
	const lines = "\n" + `{"key":"a/b@n","service":"a","route":"b","node":"n","sequence":2,"from":"closed","to":"open","reason":"failure_rate","wait":"30s","cause":{"sequence":1}}` + "\n\n" +
		`{"lost": 3}` + "\n" + `{"key":"a","of_tomorrow":"<&>"}` + "\n"
	for end, want := range map[string]error{"": io.EOF, `{"key"`: io.ErrUnexpectedEOF} {
		s, err := clientOf(t, &answering{status: 200, body: lines + end}, Options{}).Follow(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for {
			e, err := s.Next()
			if err != nil {
				if err != want {
					t.Errorf("it ended with %v, want %v", err, want)
				}
				break
			}
			got = append(got, fmt.Sprint(e.Key, " ", e.Sequence, " ", e.To, " ", e.Lost, " ", len(s.JSON())))
			if e.Sequence == 2 && (e.Wait.String() != "30s" || e.Cause.Sequence != 1 || e.Node != "n") {
				t.Errorf("%+v", e)
			}
		}
		s.Close()
		s.Close()
		if g, w := strings.Join(got, ", "), "a/b@n 2 open 0 153,  0  3 11, a 0  0 31"; g != w {
			t.Errorf("got %s, want %s", g, w)
		}
	}
}

// TestFollowRefused: the control plane's own words say why the client may not follow.
func TestFollowRefused(t *testing.T) {
	_, err := clientOf(t, &answering{status: 503, body: `{"error": "there are 64 readers already"}`}, Options{}).Follow(t.Context())
	var no *StatusError
	if !errors.As(err, &no) || no.Status != 503 || err.Error() != "there are 64 readers already" {
		t.Errorf("%v", err)
	}
}

// TestFollowEnds when its context is over.
func TestFollowEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hanging := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	s, err := clientOf(t, hanging, Options{}).Follow(ctx)
	if err == nil {
		defer s.Close()
		_, err = s.Next()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}

// TestSlowCaller: a caller that is busy for longer than the server may be silent does not lose its stream.
func TestSlowCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancelCause(t.Context())
		body, server := io.Pipe()
		s := newStream(ctx, end, body, DefaultSilence)
		go func() {
			for range 2 {
				io.WriteString(server, `{"key": "payments"}`+"\n")
			}
		}()
		for range 2 {
			time.Sleep(3 * DefaultSilence)
			if e, err := s.Next(); err != nil || e.Key != "payments" {
				t.Errorf("%+v, %v, want the event", e, err)
			}
		}
		s.Close()
	})
}

// TestSilence: a stream lives as long as it gives a sign of life, and no longer.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancelCause(t.Context())
		body, server := io.Pipe()
		context.AfterFunc(ctx, func() { server.CloseWithError(context.Canceled) })
		s := newStream(ctx, end, body, DefaultSilence)
		go func() {
			for range 60 {
				time.Sleep(10 * time.Second)
				io.WriteString(server, "\n")
			}
			io.WriteString(server, `{"key": "payments"}`+"\n")
		}()
		start := time.Now()
		if e, err := s.Next(); err != nil || e.Key != "payments" || time.Since(start) != 600*time.Second {
			t.Errorf("%+v, %v after %s", e, err, time.Since(start))
		}
		if _, err := s.Next(); err != ErrSilent || time.Since(start) != 630*time.Second {
			t.Errorf("it ended with %v after %s, want %v after 630 s", err, time.Since(start), ErrSilent)
		}
		s.Close()
	})
}
