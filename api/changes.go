package api

// Action names a change by hand.
type Action string

// The actions.
const (
	ForceOpen   Action = "force_open"   // hold the breaker open for a time
	ForceClosed Action = "force_closed" // hold the breaker closed for a time
	Reset       Action = "reset"        // close the breaker, forget its calls, and end what was forced
)

// Change is the body of POST /breakers/{key}.
type Change struct {
	Action Action `json:"action"`
	By     string `json:"by"`     // the operator, in 1 to 200 printable characters
	Reason string `json:"reason"` // the operator's reason, in 1 to 200 printable characters
	// ExpiresIn is how long the breaker is held, above 0s and at most 168h, as [time.ParseDuration] reads it. It has
	// to be there to force a breaker, and must be nil to reset one.
	ExpiresIn *string `json:"expires_in,omitempty"`
}

// Problem is the body of an answer that says no.
type Problem struct {
	Error string `json:"error"`
}
