package series

import (
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"breakwater.dev/breaker"
)

// piece is about how much is encoded before it is written: large enough that
// the cost of a write does not count.
const piece = 128 << 10

// encoder encodes one scrape. Encoders are used again.
type encoder struct {
	buf    []byte
	series []*series // the series of each status, by its index; nil: it has none
	wall   func(breaker.Instant) time.Time
	// escapes is set where some names have to be escaped to be values of labels. Names in a policy
	// never have to.
	escapes bool
}

var encoders = sync.Pool{New: func() any { return &encoder{buf: make([]byte, 0, piece+piece/8)} }}

// Write writes the metrics of statuses, which are one snapshot, to w. A breaker
// has either all its series or, where it is not in the policy, none; statuses of
// single proxies are left out. wall is the time of an instant. The error is w's.
func (t *Table) Write(w io.Writer, statuses []breaker.Status, wall func(breaker.Instant) time.Time) error {
	e := encoders.Get().(*encoder)
	defer e.release()
	e.wall = wall
	all := t.all()
	for i := range statuses {
		var s *series
		if key := &statuses[i].Key; key.Node == "" {
			s = all.find(key)
		}
		e.series = append(e.series, s)
		e.escapes = e.escapes || strings.ContainsAny(statuses[i].Key.Upstream, escaped) || strings.ContainsAny(statuses[i].Key.Route, escaped)
	}
	for i := range families {
		if err := e.family(w, &families[i], statuses); err != nil {
			return err
		}
	}
	return e.flush(w)
}

// release lets go of everything that belongs to the scrape.
func (e *encoder) release() {
	clear(e.series)
	e.series, e.buf, e.wall, e.escapes = e.series[:0], e.buf[:0], nil, false
	encoders.Put(e)
}

func (e *encoder) flush(w io.Writer) error {
	_, err := w.Write(e.buf)
	e.buf = e.buf[:0]
	return err
}

// family encodes all samples of one metric. Without any there is no head either.
func (e *encoder) family(w io.Writer, f *family, statuses []breaker.Status) error {
	headed := false
	for i, s := range e.series {
		if s == nil {
			continue
		}
		if !headed {
			headed = true
			e.buf = append(e.buf, f.head...)
		}
		f.encode(e, &statuses[i], s)
		if len(e.buf) >= piece {
			if err := e.flush(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// escaped are the characters that the value of a label cannot have as they are.
const escaped = "\\\n\""

// escape makes a string the value of a label.
var escape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// begin starts a line of the breaker of st: start is everything up to the
// labels that all have.
func (e *encoder) begin(start string, st *breaker.Status) {
	route, service := st.Key.Route, st.Key.Upstream
	if e.escapes {
		route, service = escape.Replace(route), escape.Replace(service)
	}
	b := append(e.buf, start...)
	b = append(b, `route="`...)
	b = append(b, route...)
	b = append(b, `",service="`...)
	b = append(b, service...)
	e.buf = append(b, '"')
}

// labelled is begin with the value of a first label, which start ends in the middle of.
func (e *encoder) labelled(start, value string, st *breaker.Status) {
	e.buf = append(e.buf, start...)
	e.buf = append(e.buf, value...)
	e.begin(`",`, st)
}

func (e *encoder) count(end string, v uint64) {
	b := append(e.buf, end...)
	b = strconv.AppendUint(b, v, 10)
	e.buf = append(b, '\n')
}

func (e *encoder) float(end string, v float64) {
	b := append(e.buf, end...)
	b = strconv.AppendFloat(b, v, 'g', -1, 64)
	e.buf = append(b, '\n')
}
