package breaker

// epochs numbers the times between two changes of what a permit in a cell stands for.
// A generation of the breaker begins a new epoch, and so does a slice of its flight, so
// a generation has a row of epochs. Numbers have epochBits bits and begin at 0 again
// after the last.
type epochs struct {
	current uint32
	age     uint32 // how many epochs ago the generation began
}

// next begins another epoch of the same generation.
func (e *epochs) next() {
	e.current = (e.current + 1) & epochMask
	e.age = min(e.age+1, epochMask)
}

// restart begins the first epoch of a generation.
func (e *epochs) restart() {
	e.current = (e.current + 1) & epochMask
	e.age = 0
}

// include reports whether a permit was given in this generation.
func (e *epochs) include(m mark) bool { return (e.current-m.epoch())&epochMask <= e.age }
