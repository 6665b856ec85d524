package view

import (
	"encoding/json"
	"reflect"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestShow(t *testing.T) {
	type inner struct{ CAFile, DNS string }
	type outer struct {
		Zulu   int
		Alpha  *inner
		None   *inner
		Hidden bool
		List   []inner
		Word   string `json:"other"`
		Own    rune
		inside int
	}
	n := Notation{
		Value: func(v any) (any, bool) {
			_, isRune := v.(rune)
			return "rune", isRune
		},
		Omit: func(f reflect.StructField) bool { return f.Name == "Hidden" },
	}
	got := n.Show(&outer{Zulu: 1, Alpha: &inner{CAFile: "<&>"}, List: []inner{{DNS: "yes: no"}}, Word: "true", inside: 1})

	asJSON, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	const wantJSON = `{"zulu":1,"alpha":{"caFile":"\u003c\u0026\u003e","dns":""},"none":null,` +
		`"list":[{"caFile":"","dns":"yes: no"}],"other":"true","own":"rune"}`
	if string(asJSON) != wantJSON {
		t.Errorf("JSON\n%s, want\n%s", asJSON, wantJSON)
	}

	asYAML, err := yaml.Marshal(YAML(got))
	if err != nil {
		t.Fatal(err)
	}
	const wantYAML = `zulu: 1
alpha:
    caFile: <&>
    dns: ""
none: null
list:
    - caFile: ""
      dns: 'yes: no'
other: "true"
own: rune
`
	if string(asYAML) != wantYAML {
		t.Errorf("YAML\n%s, want\n%s", asYAML, wantYAML)
	}
}

func TestYAMLKeepsStringsStrings(t *testing.T) {
	for _, s := range []string{"", "5", "true", "null", "~", "a: b", "# c", "x\ny\n", "\x00\x7f", "50%", "2001-01-01", "<<", "é"} {
		text, err := yaml.Marshal(YAML(s))
		if err != nil {
			t.Fatal(err)
		}
		var back any
		if err := yaml.Unmarshal(text, &back); err != nil || back != any(s) {
			t.Errorf("%q is printed as %s and read as %#v, %v", s, text, back, err)
		}
	}
}

func TestCanonical(t *testing.T) {
	seen := map[string]any{}
	for _, v := range []any{
		nil, "", "a", 1, "1", true, "true", []any{}, []any{"a"}, []any{"a", "b"}, []any{"a,b"}, []any{[]any{"a"}, "b"},
		[]any{1, 2}, []any{12}, Object{}, Object{{"a", 1}}, Object{{"b", 1}}, Object{{"a", 1}, {"b", 2}}, Object{{"a", Object{{"b", 2}}}},
	} {
		text := Canonical(v)
		if other, ok := seen[text]; ok {
			t.Errorf("%#v and %#v are both %s", v, other, text)
		}
		seen[text] = v
	}
	if got, want := Canonical(Object{{"a", []any{"x\n", 1, nil}}}), `{"a":["x\n",1;,<nil>;,]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
