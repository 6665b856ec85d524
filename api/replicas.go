package api

import (
	"context"
	"encoding/json"
	"net/http"
)

// Replicas are the control planes that share their breakers, as one of them sees the others.
type Replicas struct {
	// View says what the answers of this control plane are about: "mesh", or what it does not reach, such as
	// "local view, 2 of 3 replicas unreachable".
	View        string    `json:"view"`
	Epoch       uint64    `json:"epoch"` // grows with each change of the members
	Members     []Replica `json:"members"`
	Unreachable int       `json:"unreachable"` // members
}

// Whole is the view of a control plane that reaches all others.
const Whole = "mesh"

// Replica is one of the control planes that share their breakers.
type Replica struct {
	Name      string `json:"name"`
	ID        string `json:"id"`        // another one for each process
	Address   string `json:"address"`   // its port for proxies
	Reachable bool   `json:"reachable"` // by the control plane that answers
	Owns      int    `json:"owns"`      // breakers, without the breakers of single proxies
}

// ReplicaList is the answer of GET /replicas.
type ReplicaList struct {
	*Replicas
	AnsweredBy *Instance `json:"answered_by,omitempty"`
}

// Replicas returns the control planes that share their breakers with this one; nil: there are none.
func (c *Client) Replicas(ctx context.Context) (*Replicas, Answer, error) {
	var list ReplicaList
	at, err := c.ask(ctx, request{method: http.MethodGet, path: "/replicas"}, func(r *http.Response) error {
		return json.NewDecoder(r.Body).Decode(&list)
	})
	return list.Replicas, Answer{By: list.AnsweredBy, At: at}, err
}
