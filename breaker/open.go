package breaker

// open is what an open breaker knows: when it ends. Nothing that happens while it
// is open makes it longer.
type open struct {
	until Instant
}

func (o *open) enter(until Instant) (due Instant) {
	o.until = until
	return until
}
