package ejections

import (
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"breakwater.dev/outlier"
)

// family is one metric.
type family struct {
	name, kind, help string
	encode           func(e *encoder, st *outlier.Status)
}

const prefix = "breakwater_outlier_"

// families are all metrics of ejections, in order of their names.
var families = []family{
	{"detected_total", "counter", "Times that a rule found an endpoint, and it stayed in rotation: the rule's enforcing share spared it, or as many were out as may be.",
		func(e *encoder, st *outlier.Status) { e.sample(st, "", st.Detected) }},
	{"ejected_endpoints", "gauge", "Endpoints that are out of rotation for all proxies now. What single proxies eject, in the scope Node, only their own statistics tell.",
		func(e *encoder, st *outlier.Status) { e.sample(st, "", uint64(len(st.Ejected))) }},
	{"ejections_total", "counter", "Ejections for all proxies, by the rule that found the endpoint.",
		func(e *encoder, st *outlier.Status) {
			e.rules = slices.AppendSeq(e.rules[:0], maps.Keys(st.Ejections))
			slices.SortFunc(e.rules, func(a, b outlier.Rule) int { return strings.Compare(a.String(), b.String()) })
			for _, rule := range e.rules {
				e.sample(st, rule.String(), st.Ejections[rule])
			}
		}},
	{"endpoints", "gauge", "Endpoints that are judged by what all proxies have seen of them, where the scope of outlierDetection is Mesh.",
		func(e *encoder, st *outlier.Status) { e.sample(st, "", uint64(st.Endpoints)) }},
}

// piece is about how much is encoded before it is written.
const piece = 128 << 10

// encoder encodes one scrape.
type encoder struct {
	buf   []byte
	name  string         // the family's
	rules []outlier.Rule // space to sort the rules of one upstream
}

// Write writes the metrics of statuses, each of another upstream, to w. They are not in the
// registry, for the same reason as the metrics of breakers: a policy for the whole mesh can make
// ten times as many of them as there are upstreams. The error comes from w.
func Write(w io.Writer, statuses []outlier.Status) error {
	if len(statuses) == 0 {
		return nil
	}
	e := encoder{buf: make([]byte, 0, piece+piece/8)}
	for i := range families {
		f := &families[i]
		e.name = prefix + f.name
		e.buf = append(e.buf, "# HELP "+e.name+" "+f.help+"\n# TYPE "+e.name+" "+f.kind+"\n"...)
		for j := range statuses {
			f.encode(&e, &statuses[j])
			if len(e.buf) < piece {
				continue
			}
			if err := e.flush(w); err != nil {
				return err
			}
		}
	}
	return e.flush(w)
}

func (e *encoder) flush(w io.Writer) error {
	_, err := w.Write(e.buf)
	e.buf = e.buf[:0]
	return err
}

// escape makes a string the value of a label. Names in a policy have nothing to escape,
// and then it costs no memory.
var escape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// sample encodes one line; rule is "" where the family has no such label.
func (e *encoder) sample(st *outlier.Status, rule string, v uint64) {
	b := append(e.buf, e.name...)
	b = append(b, '{')
	if rule != "" {
		b = append(b, `rule="`...)
		b = append(b, rule...)
		b = append(b, `",`...)
	}
	b = append(b, `service="`...)
	b = append(b, escape.Replace(st.Upstream)...)
	b = append(b, `"} `...)
	b = strconv.AppendUint(b, v, 10)
	e.buf = append(b, '\n')
}
