package feed

import (
	"math"
	"time"

	"breakwater.dev/feed/internal/backlog"
	"breakwater.dev/feed/internal/suspects"
	"breakwater.dev/internal/alslog"
)

// queue is between the goroutine that receives a stream, which must never wait, and the one that counts.
type queue struct {
	*backlog.Queue
	broken chan struct{} // closed when a message is malformed
}

func newQueue(all *backlog.Total) *queue {
	return &queue{Queue: backlog.New(all), broken: make(chan struct{})}
}

// work has the worker count messages until the queue is closed, and report what is due without a message.
func (q *queue) work(w *worker) {
	due := time.NewTimer(0)
	defer due.Stop()
	broken := false
	var m alslog.Message
	for {
		select {
		case next, open := <-q.Waiting():
			if !open {
				w.reportDue(math.MaxInt64) // the stream has ended, so there is nothing to wait for
				return
			}
			w.hurry = q.Crowded()
			if !broken && take(w, &next, &m) != nil {
				broken = true
				close(q.broken)
			}
			q.Free(next)
		case <-due.C:
		}
		now := w.server.options.Now()
		next, ok := w.reportDue(now)
		if w.settleDue(now) {
			if soon := now.Add(suspects.Step); !ok || soon < next {
				next, ok = soon, true
			}
		}
		if ok {
			due.Reset(next.Sub(now))
		}
	}
}

// take has the worker count a message. It is read into m, which can be used again.
func take(w *worker, next *backlog.Message, m *alslog.Message) error {
	if err := m.Read(next.Data.ReadOnlyData()); err != nil {
		return err
	}
	return w.take(m, next.Arrived)
}
