package link

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"breakwater.dev/membership"
)

// received is a message about members, with its sender.
type received struct {
	from    membership.Member
	message string
}

// listen starts a replica that hands on the messages about members.
func listen(t *testing.T, id string) (*Links, membership.Member, chan received) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	self := membership.Member{ID: id, Address: l.Addr().String(), Name: "name of " + id}
	got := make(chan received, 10)
	links := New(Options{
		Self: self, Credentials: insecure.NewCredentials(), Admit: func(context.Context) error { return nil }, Log: slog.New(slog.DiscardHandler),
		Receive:    func(from membership.Member, _ *Message) { t.Errorf("a message of %s about breakers has come", from.ID) },
		Membership: func(from membership.Member, message []byte) { got <- received{from, string(message)} },
	})
	server := grpc.NewServer()
	links.Register(server)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		links.Close()
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return links, self, got
}

// TestGreetings: a message for a replica without an id comes to the replica at its address, also to the sender itself, and has the
// sender's id.
func TestGreetings(t *testing.T) {
	a, self, mine := listen(t, "a")
	_, other, theirs := listen(t, "b")
	for _, tt := range []struct {
		to   membership.Member
		got  chan received
		name string
	}{
		{membership.Member{Address: self.Address}, mine, "to itself"},
		{membership.Member{Address: other.Address}, theirs, "to an address"},
		{other, theirs, "to a replica"},
	} {
		a.SendMembership(tt.to, []byte(tt.name))
		select {
		case got := <-tt.got:
			if got.from != self || got.message != tt.name {
				t.Errorf("%s: got %+v", tt.name, got)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: the message has not come", tt.name)
		}
	}
}
