package yamlwalk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxDocuments is how many documents one file may hold.
const MaxDocuments = 10_000

// Problem is something that is not as it must be.
type Problem struct {
	Line, Col       int    // from 1; 0 where the problem is the file as a whole
	Path            string // such as "spec.endpoints[0].port"; empty where it is the document
	Got, Want, Rule string
}

// Visitor takes what a walk finds.
type Visitor struct {
	// Report is called for every problem.
	Report func(Problem)
	// Visit, when not nil, is called for every known field before its value is read.
	Visit func(Value)
}

// Documents splits a file into its documents; empty ones are left out. The
// documents before a syntax error are returned together with the problem.
// complete is false when anything of the file could not be read.
func Documents(data []byte, visitor Visitor) (docs []Value, complete bool) {
	if p, ok := notText(data); ok {
		visitor.Report(p)
		return nil, false
	}
	decoder := yaml.NewDecoder(bytes.NewReader(asVersion11(data)))
	for {
		var doc yaml.Node
		err := next(decoder, &doc)
		if errors.Is(err, io.EOF) {
			return docs, true
		}
		if err != nil {
			visitor.Report(syntaxProblem(data, err))
			return docs, false
		}
		if len(doc.Content) == 0 || isEmpty(doc.Content[0]) {
			continue
		}
		root := Value{node: doc.Content[0], visitor: &visitor}
		if len(docs) == MaxDocuments {
			root.FailAs("one document more", fmt.Sprintf("at most %d documents in a file", MaxDocuments), "too-many-documents")
			return docs, false
		}
		docs = append(docs, root)
	}
}

// next decodes one document. The parser has panicked on hostile input before
// (CVE-2022-28948); a file must never take the process down, so a panic of it is
// one more way to be malformed.
func next(decoder *yaml.Decoder, doc *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: the parser gave up: %v", p)
		}
	}()
	return decoder.Decode(doc)
}

// version12 is a directive of YAML 1.2. No line of a policy can begin like that but a directive: what
// stands in a document is indented or begins with a key.
var version12 = regexp.MustCompile(`(?m)^%YAML[ \t]+1\.2\b`)

// asVersion11 has a file say that it is YAML 1.1, which is the one version that the parser lets
// pass; it reads 1.2 as well. Nothing moves.
func asVersion11(data []byte) []byte {
	at := version12.FindAllIndex(data, -1)
	if at == nil {
		return data
	}
	data = bytes.Clone(data)
	for _, a := range at {
		data[a[1]-1] = '1'
	}
	return data
}

// isEmpty tells whether nothing was written between two document separators.
func isEmpty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && n.Value == "" && n.Anchor == "" && n.Style == 0
}

// notText finds the first thing that no text file holds. YAML refuses these too,
// but says neither what nor where.
func notText(data []byte) (Problem, bool) {
	line, start := 1, 0
	for i := 0; i < len(data); {
		if c := data[i]; c >= ' ' && c < 0x7f {
			i++ // by far the most
			continue
		}
		r, size := utf8.DecodeRune(data[i:])
		got := ""
		switch {
		case r == utf8.RuneError && size == 1:
			got = fmt.Sprintf("the byte 0x%02x, which is not UTF-8", data[i])
		case unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' && r != '\u0085':
			got = fmt.Sprintf("the control character %U", r)
		case r == '\n':
			line, start = line+1, i+1
		}
		if got != "" {
			col := utf8.RuneCount(data[start:i]) + 1
			return Problem{Line: line, Col: col, Got: got, Want: "text in UTF-8", Rule: "not-text"}, true
		}
		i += size
	}
	return Problem{}, false
}

var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxProblem reads the parser's message, which has no position but a line and
// counts that from 0 or from 1, depending on who found the error.
func syntaxProblem(data []byte, err error) Problem {
	line, message := 1, err.Error()
	if m := yamlError.FindStringSubmatch(message); m != nil {
		message = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil && n > 0 {
			line = n
		}
	}
	if strings.HasPrefix(message, "unknown anchor") {
		message = "an alias without its anchor" // which may be a word of a file that is none of ours
	}
	problem := Problem{Line: line, Col: 1, Got: message, Want: "well-formed YAML", Rule: "yaml-syntax"}
	if message == "found incompatible YAML document" {
		problem.Got, problem.Want = "a %YAML line with another version", "%YAML 1.1 or %YAML 1.2, or no such line"
	}
	lines := strings.Split(string(data), "\n")
	for _, at := range []int{line, line + 1} {
		if at > len(lines) {
			break
		}
		text := lines[at-1]
		indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
			return Problem{Line: at, Col: tab + 1, Got: "a tab", Want: "spaces: YAML does not indent with tabs", Rule: "yaml-tab"}
		}
	}
	return problem
}
