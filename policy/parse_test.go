package policy_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/breaker"
	"breakwater.dev/policy"
)

func parse(t *testing.T, texts ...string) (*policy.Set, policy.Diagnostics) {
	t.Helper()
	var fs []policy.File
	for i, text := range texts {
		fs = append(fs, policy.File{Name: fmt.Sprintf("%d.yaml", i), Data: []byte(text)})
	}
	return policy.Parse(fs, policy.BuiltinDefaults())
}

func upstreamYAML(name string) string {
	return fmt.Sprintf(`apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: %s}
spec: {endpoints: [{address: 10.0.0.1, port: 80}]}
`, name)
}

func mustParse(t *testing.T, texts ...string) *policy.Set {
	t.Helper()
	set, ds := parse(t, texts...)
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	return set
}

// Every field of the design's example of the language is known. Its port is for protocol TCP, which the
// example does not speak; nothing else is wrong with it.
func TestDesignExample(t *testing.T) {
	example, err := os.ReadFile("testdata/design.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, ds := parse(t, string(example))
	var got []string
	for _, d := range ds {
		got = append(got, d.Path+" "+d.Rule)
	}
	want := []string{
		"spec.port exclusive-fields",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("diagnostics differ (-want +got):\n%s", diff)
	}
}

func TestRevision(t *testing.T) {
	const policyYAML = `apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: %s}
spec: {timeout: %s, targetRefs: [{kind: Upstream, name: a}]}
`
	a, b := upstreamYAML("a"), upstreamYAML("b")
	p := fmt.Sprintf(policyYAML, "p", "60s")
	base := mustParse(t, a, b, p).Revision
	for name, set := range map[string]*policy.Set{
		"order of files":      mustParse(t, p, b, a),
		"one file":            mustParse(t, a+"---\n"+p+"---\n"+b),
		"comments and layout": mustParse(t, "# why\n\n"+a, b, "---\nkind: BreakerPolicy\nspec:\n  targetRefs:\n  - name: a   # this one\n    kind: Upstream\n  timeout: \"1m\"\nmetadata:\n  name: p\napiVersion: breakwater.dev/v1alpha1\n"),
		"name of the policy":  mustParse(t, a, b, fmt.Sprintf(policyYAML, "q", "60s")),
		"a default, written":  mustParse(t, a+"  # more\n", strings.Replace(b, "spec: {", "spec: {protocol: HTTP1, hosts: [B], ", 1), p),
	} {
		if set.Revision != base {
			t.Errorf("%s changes the revision", name)
		}
	}
	for name, set := range map[string]*policy.Set{
		"a timeout":   mustParse(t, a, b, fmt.Sprintf(policyYAML, "p", "61s")),
		"for headers": mustParse(t, a, b, fmt.Sprintf(policyYAML, "p", "60s, responseHeaderTimeout: 5s")),
		"idle":        mustParse(t, a, b, fmt.Sprintf(policyYAML, "p", "60s, idleTimeout: 2m")),
		"callers":     mustParse(t, a, b, fmt.Sprintf(policyYAML, "p", "60s, classify: {clientGone: Failure}")),
		"an upstream": mustParse(t, a, p),
		"no policy":   mustParse(t, a, b),
	} {
		if set.Revision == base {
			t.Errorf("%s does not change the revision", name)
		}
	}
}

// The view has every field of every type.
func TestViewHasEveryField(t *testing.T) {
	view, err := json.Marshal(mustParse(t, upstreamYAML("a")+"---\nservices: {a: {}}\n").View())
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[policy.Upstream](), reflect.TypeFor[policy.Route](), reflect.TypeFor[policy.Match](),
		reflect.TypeFor[policy.Breaker](), reflect.TypeFor[policy.Response](), reflect.TypeFor[policy.Limits](),
		reflect.TypeFor[policy.ConnectionLimits](), reflect.TypeFor[breaker.Config](), reflect.TypeFor[breaker.Spec](),
	} {
		for i := range typ.NumField() {
			if !typ.Field(i).IsExported() {
				continue
			}
			name := typ.Field(i).Name
			word := typ.Field(i).Tag.Get("json")
			if word == "" {
				word = strings.ToLower(name)
			}
			if !strings.Contains(strings.ToLower(string(view)), strings.ToLower(strconv.Quote(word))+":") {
				t.Errorf("the view has no %s.%s", typ, name)
			}
		}
	}
}

func TestClassifier(t *testing.T) {
	set := mustParse(t, upstreamYAML("a")+`---
apiVersion: breakwater.dev/v1alpha1
kind: BreakerPolicy
metadata: {name: a}
spec:
  targetRefs: [{kind: Upstream, name: a}]
  classify:
    failure: {statusCodes: ["5xx", "429"]}
    ignore: {statusCodes: ["501", "4xx"], grpcStatus: [CANCELLED]}
`)
	c := set.Upstreams[0].Routes[0].Breaker.Classify
	for status, want := range map[int]breaker.Outcome{
		-1: breaker.Failure, 600: breaker.Failure, 200: breaker.Success, 301: breaker.Success,
		404: breaker.Ignored, 429: breaker.Failure, 500: breaker.Failure, 501: breaker.Ignored,
		504: breaker.Failure, 599: breaker.Failure,
	} {
		if got := c.HTTP(status); got != want {
			t.Errorf("HTTP(%d) = %s, want %s", status, got, want)
		}
	}
	for code, want := range map[int]breaker.Outcome{
		0: breaker.Success, 1: breaker.Ignored, 2: breaker.Failure, 4: breaker.Failure, 5: breaker.Success,
		14: breaker.Failure, 16: breaker.Success, 17: breaker.Failure, -1: breaker.Failure,
	} {
		if got := c.GRPC(code); got != want {
			t.Errorf("GRPC(%d) = %s, want %s", code, got, want)
		}
	}
}

// A breaker that several routes share is listed once.
func TestSpecsHasEachBreakerOnce(t *testing.T) {
	set := mustParse(t, strings.Replace(upstreamYAML("a"), "spec: {", "spec: {routes: [{name: r, match: {path: /r}}, {name: s, match: {path: /s}}], ", 1)+
		upstreamPolicy("p", "{kind: Mesh}")+upstreamPolicy("q", "{kind: Upstream, name: a, sectionName: s}"))
	var got []string
	for _, s := range set.Specs() {
		got = append(got, s.Key.String())
	}
	if want := []string{"a", "a/s"}; !slices.Equal(got, want) {
		t.Errorf("Specs() = %v, want %v", got, want)
	}
}

func upstreamPolicy(name, target string) string {
	return fmt.Sprintf("---\napiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: %s}\nspec: {targetRefs: [%s]}\n", name, target)
}

func TestDefaultsOfACallerAreChecked(t *testing.T) {
	set, ds := policy.Parse([]policy.File{{Name: "a.yaml", Data: []byte(upstreamYAML("a"))}}, policy.Defaults{Timeout: -1})
	if set != nil || len(ds) == 0 || ds[0].File != "defaults" {
		t.Errorf("Parse with no defaults: set %v, diagnostics %v", set, ds)
	}
}

// A caller's default can be a window of calls. Its duration is not in force then, but a policy with a
// TimeBased window takes it.
func TestDefaultWindowOfCalls(t *testing.T) {
	d := policy.BuiltinDefaults()
	d.Breaker.WindowSize = 50
	in := upstreamYAML("a") + "---\n" + upstreamYAML("b") +
		upstreamPolicy("p", "{kind: Mesh}") +
		strings.Replace(upstreamPolicy("q", "{kind: Upstream, name: b}"), "spec: {", "spec: {breaker: {slidingWindow: {type: TimeBased}}, ", 1)
	set, ds := policy.Parse([]policy.File{{Name: "a.yaml", Data: []byte(in)}}, d)
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	var got []string
	for _, s := range set.Specs() {
		got = append(got, fmt.Sprintf("%s: %d calls, %s", s.Key, s.Config.WindowSize, s.Config.WindowDuration))
	}
	if want := []string{"a: 50 calls, 0s", "b: 0 calls, 10s"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHostileFilesCostLittle(t *testing.T) {
	const size = policy.MaxFileSize
	for name, text := range map[string]string{
		"many keys":      "kind: Upstream\n" + manyKeys(size-20),
		"many foreign":   manyKeys(size),
		"many documents": strings.Repeat("a\n---\n", size/6),
		"deep lists":     strings.Repeat("[", size),
		"deep objects":   strings.Repeat("{a: ", size/4),
		"one line":       "a: " + strings.Repeat("x", size-3),
		"deep indents":   strings.Repeat("- ", size/2),
		"question marks": strings.Repeat("? ", size/2),
		"a long key":     strings.Repeat("k", size-3) + ": 1",
		"comments":       strings.Repeat("#\n", size/2),
		"too large":      strings.Repeat("#", size+1),
	} {
		_, ds := parse(t, text)
		if len(ds) == 0 || len(ds) > 1001 {
			t.Errorf("%s: %d diagnostics", name, len(ds))
		}
		if text := ds.Error(); len(text) > 400*len(ds) {
			t.Errorf("%s: %d bytes of diagnostics", name, len(text))
		}
	}
}

func TestBounds(t *testing.T) {
	var many strings.Builder
	for i := range 10_001 {
		fmt.Fprintf(&many, "services: {a%d: {}}\n---\n", i)
	}
	_, ds := parse(t, many.String())
	const documents = `0.yaml:20001:1: one document more; must be at most 10000 documents in a file [too-many-documents]`
	if got := ds.Error(); got != documents {
		t.Errorf("10,001 documents: %s, want %s", got, documents)
	}

	_, ds = parse(t, "kind: Upstream\n"+manyKeys(policy.MaxFileSize-20))
	const problems = `0.yaml: more problems than are shown; must be at most 1000 [too-many-problems]`
	if got := ds[len(ds)-1].String(); len(ds) != 1001 || got != problems {
		t.Errorf("many problems: %d, the last is %s, want %s", len(ds), got, problems)
	}
}

func manyKeys(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size-16; i++ {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}

// Every rule of the code appears in a golden file or a test, with its full text.
func TestEveryRuleIsTested(t *testing.T) {
	tested := ""
	for _, pattern := range []string{"testdata/diagnostics/*.txtar", "defaults_test.go", "parse_test.go", "../sources/files/load_test.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			tested += string(data)
		}
	}
	rules := rulesInSource(t, "*.go", "internal/*/*.go", "../sources/files/*.go", "../breaker/fields.go", "../outlier/fields.go")
	if len(rules) < 45 {
		t.Errorf("only %d rules found in the source: %v", len(rules), rules)
	}
	for _, rule := range rules {
		if !strings.Contains(tested, "["+rule+"]") {
			t.Errorf("no test shows rule %s", rule)
		}
	}
}

var ruleID = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)

// rulesInSource returns the rule ids in the source: the words with hyphens that are the
// last string of a call or literal, and the two rules that are one word.
func rulesInSource(t *testing.T, patterns ...string) []string {
	t.Helper()
	rules := map[string]bool{"unsupported": true, "contradiction": true}
	add := func(e ast.Expr) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		if s, err := strconv.Unquote(lit.Value); err == nil && ruleID.MatchString(s) {
			rules[s] = true
		}
	}
	for _, pattern := range patterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					for _, arg := range n.Args {
						add(arg)
					}
				case *ast.KeyValueExpr:
					add(n.Value)
				case *ast.ReturnStmt:
					for _, r := range n.Results {
						add(r)
					}
				case *ast.CompositeLit:
					if id, ok := n.Type.(*ast.Ident); ok && id.Name == "Problem" {
						for _, e := range n.Elts {
							add(e)
						}
					}
				}
				return true
			})
		}
	}
	var ids []string
	for id := range rules {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
