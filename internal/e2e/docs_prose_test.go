package e2e

import (
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"breakwater.dev/internal/envoybin"
)

var (
	inline     = regexp.MustCompile("`([^`\n]+)`")
	metricName = regexp.MustCompile(`\b(?:circuit_breaker|breakwater)_[a-z_]+\b`)
	ownCommand = regexp.MustCompile(`^(?:[A-Z_]+=\S+ )*(?:bin/)?(?:breakwater|make|kubectl|envoy|promtool|docker) `)
	httpPath   = regexp.MustCompile("`(?:GET )?(/(?:metrics|health|breakers|transitions|config)(?:/[a-z]+)*)(?:\\?[^`]*)?`")
)

// TestDocsProse shows that all commands, flags, metrics and files exist that the pages name in `backticks`.
func TestDocsProse(t *testing.T) {
	t.Parallel()
	flags := ourFlags(t)
	maps.Copy(flags, envoyFlags(t))
	for _, p := range documentation(t) {
		for i, line := range strings.Split(p.Prose, "\n") {
			for _, m := range inline.FindAllStringSubmatch(line, -1) {
				code := m[1]
				problem := func(format string, args ...any) {
					t.Helper()
					t.Errorf("%s:%d: `%s`: "+format, append([]any{p.Path, i + 1, code}, args...)...)
				}
				if f := flagName.FindString(code); f != "" && !flags[f] {
					problem("neither breakwater nor envoy has the flag %s", f)
				}
				for _, name := range metricName.FindAllString(code, -1) {
					if !ourMetrics(t)[name] {
						problem("there is no metric %s", name)
					}
				}
				if ownCommand.MatchString(code) {
					for _, words := range simpleCommands(code) {
						if err := checkCommand(t, filepath.Dir(p.Path), words); err != nil {
							problem("%v", err)
						}
					}
				} else if err := checkPath(filepath.Dir(p.Path), code); err != nil {
					problem("%v", err)
				}
			}
		}
	}
}

// TestDocsHTTP shows that the control plane has all paths that the pages name.
func TestDocsHTTP(t *testing.T) {
	t.Parallel()
	m := prepareMesh(t, ownIP(t), service("payments", "127.0.0.1:1")+guard("payments"))
	m.startControl(t)
	asked := map[string]int{"/breakers/payments": http.StatusOK}
	for _, p := range documentation(t) {
		for _, path := range httpPath.FindAllStringSubmatch(p.Prose, -1) {
			if _, ok := asked[path[1]]; !ok {
				resp, err := http.Get("http://" + m.ip + ":18080" + path[1])
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close() // the status is enough; some responses never end
				asked[path[1]] = resp.StatusCode
			}
			if asked[path[1]] == http.StatusNotFound {
				t.Errorf("%s names %s, and the control plane has no such page", p.Path, path[1])
			}
		}
	}
	if len(asked) < 6 {
		t.Errorf("the pages name only %v", asked)
	}
}

// ourFlags returns the flags of all commands.
func ourFlags(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, c := range []string{"serve", "validate", "render", "bootstrap", "breakers", "breakers list", "breakers watch", "breakers force", "breakers reset"} {
		maps.Copy(all, flagsOf(help(t, strings.Fields(c)...)))
	}
	return all
}

// envoyFlags returns the flags of Envoy.
func envoyFlags(t *testing.T) map[string]bool {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), envoybin.Path(t), "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	return flagsOf(string(text))
}

// ourMetrics returns the names of all metrics, and of the series of histograms.
func ourMetrics(t *testing.T) map[string]bool {
	t.Helper()
	catalogue, err := txtar.ParseFile(filepath.Join(root, "internal/app/testdata/catalogue.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, f := range catalogue.Files {
		for _, m := range regexp.MustCompile(`(?m)^(\w+)\{.*\} (\w+)$`).FindAllStringSubmatch(string(f.Data), -1) {
			names[m[1]] = true
			if m[2] == "histogram" {
				names[m[1]+"_bucket"], names[m[1]+"_sum"], names[m[1]+"_count"] = true, true, true
			}
		}
	}
	return names
}
