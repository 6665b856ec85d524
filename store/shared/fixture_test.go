package shared

import (
	"bytes"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"breakwater.dev/breaker"
	"breakwater.dev/internal/redistest"
	"breakwater.dev/store"
	"breakwater.dev/store/internal/record"
	"breakwater.dev/store/internal/recordtest"
)

// TestMain fails if a test leaves a goroutine behind. The library has one that tries each second whether a server without an answer is back, and
// that ends up to a second after its client is closed.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// logLines is a log that tests read while others write to it.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// open opens the store with a URL until the test ends. It also returns the log.
func open(t *testing.T, o Options) (*Store, *logLines) {
	t.Helper()
	log := &logLines{}
	s, err := Open(o, stopped(recordtest.Date), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, log
}

// with runs a test for each kind of server, with a running server and a store in it.
func with(t *testing.T, test func(t *testing.T, server *redistest.Server, s *Store)) {
	redistest.Each(t, func(t *testing.T, kind redistest.Kind) {
		server := redistest.Start(t, kind)
		s, _ := open(t, Options{URL: "redis://" + server.Addr})
		test(t, server, s)
	})
}

// stopped returns a clock that stands still.
func stopped(a record.Anchor) store.Clock {
	return func() (breaker.Instant, time.Time) { return a.Instant, a.Wall }
}
