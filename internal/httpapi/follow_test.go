package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/typical"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// page is a response that is read while it is written. While it is held, its
// writer waits as for a client that does not read.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
	held chan struct{} // holds one
}

func (*page) Header() http.Header { return http.Header{} }
func (*page) WriteHeader(int)     {}
func (*page) Flush()              {}
func (p *page) Write(b []byte) (int, error) {
	p.held <- struct{}{}
	defer func() { <-p.held }()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

// take returns what came since the last time.
func (p *page) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.text.String()
	p.text.Reset()
	return s
}

// following starts a follower; ended is closed when its answer is.
func following(ctx context.Context, pages *API) (p *page, ended chan struct{}) {
	p, ended = &page{held: make(chan struct{}, 1)}, make(chan struct{})
	handler := pages.Handler()
	request := httptest.NewRequest(http.MethodGet, "/transitions", nil).WithContext(ctx)
	request.RemoteAddr = "127.0.0.1:1"
	go func() {
		defer close(ended)
		handler.ServeHTTP(p, request)
	}()
	return p, ended
}

// TestFollow has lines in order, the same for all, and an empty one every ten seconds.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pages := new(mesh).api()
		pages.ObserveTransition(typical.ChargeTrip()) // there is no follower yet
		first, ended := following(t.Context(), pages)
		second, left := following(t.Context(), pages)
		synctest.Wait()
		if a, b := first.take(), second.take(); a != "\n" || b != "\n" {
			t.Errorf("at first %q and %q, want an empty line each", a, b)
		}
		moves := typical.Transitions()
		for _, tr := range moves {
			pages.ObserveTransition(tr)
		}
		synctest.Wait()
		got := first.take()
		if other := second.take(); got != other {
			t.Errorf("one follower got\n%s\nanother\n%s", got, other)
		}
		checkMoves(t, pages, got, moves)
		time.Sleep(35 * time.Second)
		synctest.Wait()
		if got := first.take(); got != "\n\n\n" {
			t.Errorf("in 35 s without transitions %q, want three empty lines", got)
		}
		pages.ObserveTransition(typical.ChargeTrip())
		pages.Close()
		<-ended
		<-left
		checkMoves(t, pages, first.take(), []breaker.Transition{typical.ChargeTrip()})
	})
}

// checkMoves: each line is the last_transition of that breaker, and whose it is.
func checkMoves(t *testing.T, pages *API, text string, want []breaker.Transition) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), text)
	}
	for i, tr := range want {
		last, err := json.Marshal(pages.describeTransition(&tr))
		if err != nil {
			t.Fatal(err)
		}
		if tr.Cause != nil {
			cause, err := json.Marshal(pages.describeTransition(tr.Cause))
			if err != nil {
				t.Fatal(err)
			}
			last = fmt.Appendf(last[:len(last)-1], `,"cause":%s}`, cause)
		}
		key := fmt.Sprintf(`{"key":%q,"service":%q,"route":%q,`, tr.Key, tr.Key.Upstream, tr.Key.Route)
		if expected := key + string(last[1:]); lines[i] != expected {
			t.Errorf("line %d is\n%s\nwant\n%s", i, lines[i], expected)
		}
	}
}

// TestFollowTooSlow: a follower that does not read loses the lines that do not fit, learns how many
// at the place where they are missing, and goes on.
func TestFollowTooSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		pages := new(mesh).api()
		p, ended := following(ctx, pages)
		synctest.Wait()
		p.take()
		p.held <- struct{}{}
		send := func(from, to int) {
			for i := from; i <= to; i++ {
				pages.ObserveTransition(breaker.Transition{Sequence: uint64(i)})
			}
		}
		send(1, 1)
		synctest.Wait() // the follower takes the first, and waits to be read
		send(2, 1+followerBacklog+5)
		<-p.held
		synctest.Wait()
		send(7000, 7000)
		synctest.Wait()
		var got []string
		for line := range strings.Lines(p.take()) {
			var m struct{ Sequence, Lost int }
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatalf("line %q: %v", line, err)
			}
			got = append(got, fmt.Sprint(m.Sequence, " ", m.Lost))
		}
		want := []string{}
		for i := range 1 + followerBacklog {
			want = append(want, fmt.Sprint(i+1, " 0"))
		}
		want = append(want, "0 5", "7000 0")
		if g, w := strings.Join(got, ","), strings.Join(want, ","); g != w {
			t.Errorf("sequence and lost:\n%s\nwant\n%s", g, w)
		}
		cancel()
		<-ended
		if pages.followers.Followed() {
			t.Error("a follower that has left is still there")
		}
	})
}

// TestFollowLimits: there are at most maxFollowers until one leaves, and none after the end.
func TestFollowLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pages := new(mesh).api()
		ask := func() (int, string) {
			w := httptest.NewRecorder()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			pages.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/transitions", nil).WithContext(ctx))
			return w.Code, w.Body.String()
		}
		ctx, leave := context.WithCancel(t.Context())
		_, left := following(ctx, pages)
		for range maxFollowers - 1 {
			following(t.Context(), pages)
		}
		synctest.Wait()
		if status, body := ask(); status != http.StatusServiceUnavailable || !strings.Contains(body, "as many readers as there may be") {
			t.Errorf("one too many: %d %s", status, body)
		}
		leave()
		<-left
		if status, body := ask(); status != http.StatusOK {
			t.Errorf("after one has left: %d %s", status, body)
		}
		pages.Close()
		pages.Close()
		if status, body := ask(); status != http.StatusServiceUnavailable || !strings.Contains(body, "nothing will be sent any more") {
			t.Errorf("after the end: %d %s", status, body)
		}
	})
}

// TestFollowOutlivesDeadlines: the server's limits on other requests do not end
// it, and the client's leaving does. Shutdown waits for no follower after Close.
func TestFollowOutlivesDeadlines(t *testing.T) {
	const limit = 30 * time.Millisecond
	pages := new(mesh).api()
	server := httptest.NewUnstartedServer(pages.Handler())
	server.Config = NewServer(pages.Handler())
	server.Config.ReadTimeout, server.Config.WriteTimeout = limit, limit
	server.Start()
	defer server.Close()
	follow := func(ctx context.Context) (*http.Response, *bufio.Reader) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/transitions", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(response.Body)
		if line, err := lines.ReadString('\n'); line != "\n" {
			t.Fatalf("first line %q, %v", line, err)
		}
		return response, lines
	}
	response, lines := follow(t.Context())
	defer response.Body.Close()
	for began, n := time.Now(), uint64(1); time.Since(began) < 5*limit; n++ {
		pages.ObserveTransition(breaker.Transition{Sequence: n})
		line, err := lines.ReadString('\n')
		if want := fmt.Sprintf(`"sequence":%d,`, n); err != nil || !strings.Contains(line, want) {
			t.Fatalf("line %q, %v; want %s", line, err, want)
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	other, _ := follow(ctx)
	leave()
	if err := other.Body.Close(); err != nil {
		t.Error(err)
	}
	pages.Close()
	if rest, err := lines.ReadString('\n'); rest != "" || fmt.Sprint(err) != "EOF" {
		t.Errorf("at the end %q, %v; want a whole answer", rest, err)
	}
	deadline, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := server.Config.Shutdown(deadline); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}
