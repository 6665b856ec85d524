package cli

import "io"

// printer remembers why its writer failed, and writes nothing after that.
type printer struct {
	to  io.Writer
	err error
}

func (p *printer) Write(text []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.to.Write(text)
	p.err = err
	return n, err
}
