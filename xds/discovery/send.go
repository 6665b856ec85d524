package discovery

import (
	"time"

	"breakwater.dev/xds/discovery/internal/message"
)

// flush sends the resources that the proxy lacks and may have now. It holds no lock while it sends: a proxy that does not
// read must not hold up a caller that asks for its status.
func (st *stream) flush() error {
	if err := st.flushLayer(); err != nil {
		return err
	}
	responses, err := st.prepare()
	if err != nil {
		return err
	}
	for _, r := range responses {
		if err := st.rpc.Send(r); err != nil {
			return ended(err)
		}
		select {
		case <-st.follower.Wake(): // gates wait for one response at most
			if err := st.flushLayer(); err != nil {
				return err
			}
		default:
		}
	}
	return nil
}

// prepare returns the responses of plan, and charges the peer for them until its connection has written them: a proxy may
// not read.
func (st *stream) prepare() ([]*message.Response, error) {
	responses, err := st.plan()
	if err != nil {
		return nil, err
	}
	for _, r := range responses {
		if err := st.queue(r); err != nil {
			return nil, err
		}
	}
	return responses, nil
}

// queue charges the peer for a response until its connection has written it.
func (st *stream) queue(r *message.Response) error {
	return st.peer.Queue(int64(r.Size()), int64(r.Memory()))
}

// plan returns the responses that are sent now, and sets the timers for later ones.
func (st *stream) plan() ([]*message.Response, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.node == nil {
		return nil, nil
	}
	st.planRetries()
	p := st.server.publisher.Current()
	if p == nil {
		return nil, nil
	}
	c, err := st.content(p)
	if err != nil {
		return nil, err
	}
	st.lookForDenied(p, c)
	responses, again, err := st.proxy.Next(c.Resources, st.server.options.Now())
	if err != nil {
		return nil, err
	}
	if again > 0 {
		st.later.Reset(again)
	}
	if len(responses) == 0 {
		return nil, nil
	}
	for _, r := range responses {
		st.server.pushed(r.TypeURL, r.Size())
	}
	return responses, st.weigh(c)
}

// planRetries has refused resources sent again that are due, and sets the timer for the next ones. The caller holds st.mu.
func (st *stream) planRetries() {
	now := st.server.options.Now()
	if next := st.proxy.Retry(now); next.IsZero() {
		st.retry.Stop()
	} else {
		st.retry.Reset(next.Sub(now))
	}
}

// isLate reports whether the proxy may still route calls by other routes than the ones in p.
func (st *stream) isLate(p *Publication, now time.Time) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	c := p.Made(st.view)
	return c != nil && st.proxy.Late(c.Resources, now)
}

// lags reports whether a publication has other content for the proxy than the stream has looked at.
func (st *stream) lags(p *Publication) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.view == nil {
		return false // it looks when the proxy introduces itself
	}
	return st.had == nil || p.Made(st.view) != st.had
}
