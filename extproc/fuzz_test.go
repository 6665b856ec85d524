package extproc

import (
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"breakwater.dev/breaker"
)

// FuzzProcess serves streams with arbitrary messages, for breakers in every state and of both scopes. The first byte
// chooses the state and the scope. The rest are messages, each after its length.
func FuzzProcess(f *testing.F) {
	for _, c := range capturedStreams(f) {
		var data []byte
		for _, m := range c.messages {
			b, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			data = protowire.AppendBytes(data, b)
		}
		for choice := range byte(18) {
			f.Add(append([]byte{choice}, data...))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 {
			return
		}
		upstream := []string{"http", "grpc", "unknown"}[data[0]%3]
		r := newHalfOpenRig(t)
		if data[0]/9%2 == 1 {
			r = newRig(t, perNode(oneProbe))
			r.open("http", "grpc")
			r.after(wait)
		}
		switch data[0] / 3 % 3 {
		case 0: // two successes close a half-open breaker
			r.close("http", "grpc")
		case 1:
			r.close("http", "grpc")
			r.open("http", "grpc")
		}
		serveAny(t, r, upstream, messagesOf(data[1:]))
	})
}

func (r *rig) close(upstreams ...string) {
	for _, upstream := range upstreams {
		for range 2 {
			permit, _ := r.engine.Acquire(breaker.Key{Upstream: upstream}, r.now())
			permit.Done(breaker.Success, r.now())
		}
	}
}

// messagesOf reads messages until the data is over or is no message.
func messagesOf(data []byte) []*extprocv3.ProcessingRequest {
	var all []*extprocv3.ProcessingRequest
	for len(data) > 0 {
		b, n := protowire.ConsumeBytes(data)
		if n < 0 {
			break
		}
		data = data[n:]
		m := &extprocv3.ProcessingRequest{}
		if proto.Unmarshal(b, m) != nil {
			break
		}
		all = append(all, m)
	}
	return all
}

// serveAny serves one stream and checks the invariants: no permit is lost, each admitted request has one outcome, each
// answer has the kind of its message, and only unexpected messages end in an error.
func serveAny(t *testing.T, r *rig, upstream string, messages []*extprocv3.ProcessingRequest) {
	var events []event
	for _, m := range messages {
		events = append(events, event{message: m})
	}
	var before breaker.Counts
	if upstream != "unknown" {
		before = r.counts(upstream)
	}
	answers, err := r.run(upstream, events...)
	wantAnswers(t, messages, answers)
	c := r.server.Counts()
	if c.Admitted+c.Rejected > 1 {
		t.Errorf("server counts %+v: one stream is one request", c)
	}
	if (err != nil) != (c.Errors == 1) || err != nil && status.Code(err) != codes.InvalidArgument {
		t.Errorf("error %v with %d invalid messages", err, c.Errors)
	}
	if upstream == "unknown" {
		if c.Admitted+c.Rejected != 0 || c.UnknownBreakers != 1 {
			t.Errorf("server counts %+v of an unknown breaker, want UnknownBreakers 1", c)
		}
		return
	}
	after := r.counts(upstream)
	if asked := after.Requests - before.Requests; asked != c.Admitted+c.Rejected {
		t.Errorf("the breaker was asked %d times, server counts %+v", asked, c)
	}
	resolved := after.Successes + after.Failures + after.Ignored - before.Successes - before.Failures - before.Ignored
	if resolved != c.Admitted {
		t.Errorf("%d outcomes for %d admitted requests", resolved, c.Admitted)
	}
	r.wantResolved(upstream)
}

// counts returns the sum of the counts of an upstream's breakers, those that belong to one proxy included.
func (r *rig) counts(upstream string) breaker.Counts {
	r.t.Helper()
	for _, s := range r.engine.AppendSnapshot(nil, r.now()) {
		if s.Key == (breaker.Key{Upstream: upstream}) {
			return s.Counts
		}
	}
	r.t.Fatalf("no breaker %s", upstream)
	return breaker.Counts{}
}
