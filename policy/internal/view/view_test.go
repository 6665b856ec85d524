package view

import (
	"encoding/json"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestShow(t *testing.T) {
	type inner struct{ CAFile, DNS string }
	type outer struct {
		Zulu   int
		Alpha  *inner
		None   *inner
		List   []inner
		Word   string `json:"other"`
		Own    rune
		inside int
	}
	n := Notation{Value: func(v any) (any, bool) {
		_, isRune := v.(rune)
		return "rune", isRune
	}}
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
