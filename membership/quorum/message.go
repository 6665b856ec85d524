package quorum

import (
	"time"

	"breakwater.dev/instant"
	"breakwater.dev/membership"
)

// Message tells one replica about another. It may be lost, come twice, or come after one that was sent later. Each instant in it is
// a reading of the clock that its field names.
type Message struct {
	// To is the address that a greeting was sent to. The replica there answers. It is "" in an answer.
	To string `json:"to,omitempty"`
	// For is the id of the replica that Echo and all that depends on it are meant for; "": the sender does not know it yet.
	For string `json:"for,omitempty"`
	// Sent is when the message was sent, by the sender's clock. Each message of a sender has a greater one.
	Sent instant.Instant `json:"sent"`
	// Echo is Sent of the last message that the sender has had from the receiver, so it is a reading of the receiver's clock.
	Echo instant.Instant `json:"echo,omitempty"`
	// At and Greeted are, in an answer, To and Sent of the greeting that it answers.
	At      string          `json:"at,omitempty"`
	Greeted instant.Instant `json:"greeted,omitempty"`
	// Backs, in an answer, promises that the sender supports no other replica for the time of a promise after the greeting.
	Backs bool `json:"backs,omitempty"`

	// Supports is the id of the replica that the sender supports now.
	Supports string `json:"supports,omitempty"`
	// Meets is how many addresses have answered the sender, itself included; 0: it cannot lead.
	Meets int `json:"meets,omitempty"`
	// Leads means that the sender leads, and wants all to have View.
	Leads bool `json:"leads,omitempty"`
	// Leaving means that the sender shuts down.
	Leaving bool `json:"leaving,omitempty"`
	// View is the view that the sender has.
	View membership.View `json:"view"`
	// Highest is the highest epoch that the sender knows of.
	Highest uint64 `json:"highest,omitempty"`
	// Lease is for how long after Echo the receiver is a member by View, by a leader; 0: nothing is said of that.
	Lease time.Duration `json:"lease,omitempty"`
	// Sum is a checksum of the sender's list of addresses, if that does not change.
	Sum uint32 `json:"sum,omitempty"`
	// Answers are, in an answer, all lists of addresses by which the sender counts; nil: it does not know enough of them itself.
	Answers [][]string `json:"answers,omitempty"`
}

// Envelope is a message with its receiver. A receiver without an id is any replica that answers at its address.
type Envelope struct {
	To      membership.Member
	Message *Message
}

// Out has the results of a call of a [Quorum]. The caller first takes the view and the lease, and then sends the messages:
// they say that this replica has them.
type Out struct {
	// Result has the view of this replica, and its lease; Asked is the latest instant at which the lease was asked for.
	Result   membership.Result
	Asked    instant.Instant
	Messages []Envelope
}
