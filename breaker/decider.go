package breaker

// Status returns the status of the breaker of key at now; known is false where there is no such breaker.
func (e *Engine) Status(key Key, now Instant) (s Status, known bool) {
	b := e.Breaker(key)
	if b == nil {
		return Status{}, false
	}
	return b.Status(now), true
}
