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

// MaxDocuments is the largest number of documents in one file.
const MaxDocuments = 10_000

// Problem is something that is wrong, and how it should be.
type Problem struct {
	Line, Col       int    // from 1; 0 if the problem is the file as a whole
	Path            string // such as "spec.endpoints[0].port"; empty for the document itself
	Got, Want, Rule string
}

// Visitor receives what a walk finds.
type Visitor struct {
	// Report is called for every problem.
	Report func(Problem)
	// Visit, if it is not nil, is called for every known field before its value is read.
	Visit func(Value)
}

// Documents splits a file into its documents, without empty ones. If there is a syntax error, it reports it
// and returns the documents before. complete is false if a part of the file could not be read.
func Documents(data []byte, visitor Visitor) (docs []Value, complete bool) {
	if p, ok := notText(data); ok {
		visitor.Report(p)
		return nil, false
	}
	known := words{}
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
		content := known.node(doc.Content[0])
		root := Value{node: &content, visitor: &visitor}
		if len(docs) == MaxDocuments {
			root.FailAs("one document more", fmt.Sprintf("at most %d documents in a file", MaxDocuments), "too-many-documents")
			return docs, false
		}
		docs = append(docs, root)
	}
}

// next decodes one document. The parser has panicked on hostile input before (CVE-2022-28948). A file must
// never take the process down, so a panic is returned as a syntax error.
func next(decoder *yaml.Decoder, doc *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: the parser gave up: %v", p)
		}
	}()
	return decoder.Decode(doc)
}

// version12 matches a directive for YAML 1.2. Only a directive can begin a line of a policy like that: every
// other line is indented, or begins with a key.
var version12 = regexp.MustCompile(`(?m)^%YAML[ \t]+1\.2\b`)

// asVersion11 makes a file claim to be YAML 1.1, since the parser accepts no other version in a directive,
// though it reads 1.2. All positions in the file stay the same.
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

// isEmpty reports whether there is nothing between two document separators.
func isEmpty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && n.Value == "" && n.Anchor == "" && n.Style == 0
}

// notText finds the first character that does not belong in a text file. The YAML parser refuses such
// characters too, but says neither which nor where.
func notText(data []byte) (Problem, bool) {
	line, start := 1, 0
	for i := 0; i < len(data); {
		if c := data[i]; c >= ' ' && c < 0x7f {
			i++ // nearly all characters
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

// syntaxProblem makes a problem of the parser's message. That has a line but no column, and the line counts
// from 0 or from 1, depending on the part of the parser that found the error.
func syntaxProblem(data []byte, err error) Problem {
	line, message := 1, err.Error()
	if m := yamlError.FindStringSubmatch(message); m != nil {
		message = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil && n > 0 {
			line = n
		}
	}
	if strings.HasPrefix(message, "unknown anchor") {
		message = "an alias without its anchor" // the anchor may be a word of a file that is not a policy
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
