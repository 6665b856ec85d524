package breaker

import "errors"

// ErrUnknown is the error of a change by hand to a breaker that does not exist.
var ErrUnknown = errors.New("there is no such breaker")

// ErrDisabled is the error of forcing a breaker whose policy has the mode Disabled: no
// call asks it, so it could not reject any.
var ErrDisabled = errors.New("the policy's mode is Disabled, so no call asks this breaker; change the policy")

// Force puts the breaker of key in a state by hand, and replaces an override that it has.
// The breaker stays there until [Override.Until] or [Engine.Reset], whatever its calls,
// timers and policies say. After that, a breaker that was forced open goes on in half-open,
// and one that was forced closed begins to judge again. Where each proxy has a breaker, a key without
// a node means all of them, and the breaker that they share closes when it is over: there
// may be no calls that could probe. The error is [ErrUnknown], [ErrDisabled], or says what is
// wrong with o.
func (e *Engine) Force(key Key, o Override, now Instant) error {
	switch {
	case o.State != Open && o.State != Closed:
		return errors.New("a breaker can be forced open or closed, nothing else")
	case o.By == "" || o.Note == "":
		return errors.New("a forced state needs who did it and why")
	case o.Until <= now:
		return errors.New("a forced state needs an end in the future")
	}
	if g := e.group(key); g != nil && g.disabled() {
		return ErrDisabled
	}
	return e.byHand(key, func(b *Breaker) { b.force(o, now) })
}

// Reset makes the breaker of key as if it were new, except for its counts, and ends what
// [Engine.Force] began. Where the policy's mode is ForcedOpen, a new breaker is open. The
// error is [ErrUnknown].
func (e *Engine) Reset(key Key, by, note string, now Instant) error {
	return e.byHand(key, func(b *Breaker) { b.reset(by, note, now) })
}

func (e *Engine) byHand(key Key, do func(*Breaker)) error {
	g := e.group(key)
	if g == nil {
		return ErrUnknown
	}
	defer e.shared.deliver()
	if key.Node == "" {
		g.each(do)
		return nil
	}
	b := g.known(key.Node)
	if b == nil {
		return ErrUnknown
	}
	do(b)
	return nil
}
