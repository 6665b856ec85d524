package archtest

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// contractPackage has the names that the control plane and its proxies agree on.
const contractPackage = "wire"

// ownName is the project's name: a proxy knows several things by it.
var ownName = strings.TrimSuffix(modulePath, ".dev")

// programs are the directories whose packages use the project's name for the program.
var programs = []string{"cmd", "examples"}

// routeName is the form of a proxy's route, such as "web~open", or of the end of one.
var routeName = regexp.MustCompile(`^[a-z0-9_/%-]*~[a-z]+$`)

// checkContract finds names that belong to [contractPackage] and are written again elsewhere: two packages that each
// have their own copy drift apart, and only a test with a real proxy would notice. Tests may write them, except the
// names of routes.
func checkContract(t *tree) []finding {
	names := t.contract()
	var fs []finding
	for _, p := range t.packages {
		if p.path == contractPackage || p.ownModule {
			continue
		}
		for _, f := range p.files {
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				if _, ok := n.(*ast.ImportSpec); ok {
					return false
				}
				literal, ok := n.(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					return true
				}
				text, _ := strconv.Unquote(literal.Value) // the parser accepted it
				switch name, known := names[text]; {
				case routeName.MatchString(text):
					fs = append(fs, f.finding(literal.Pos(), "contract", "%q is the name of a proxy's route; use %s.RouteName", text, contractPackage))
				case !known || f.test || text == ownName && isProgram(p.path):
				default:
					fs = append(fs, f.finding(literal.Pos(), "contract", "%q is agreed on with proxies; use %s", text, strings.Join(name, " or ")))
				}
				return true
			})
		}
	}
	return fs
}

func isProgram(dir string) bool {
	return slices.ContainsFunc(programs, func(program string) bool { return within(program, dir) })
}

// contract returns the string constants of [contractPackage], by value. Plain words are left out, since they mean
// other things elsewhere, except the project's own.
func (t *tree) contract() map[string][]string {
	names := map[string][]string{}
	for _, p := range t.packages {
		if p.path != contractPackage {
			continue
		}
		for _, f := range p.files {
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				if !ok || f.test || len(spec.Names) != len(spec.Values) {
					return true
				}
				for i, value := range spec.Values {
					literal, ok := value.(*ast.BasicLit)
					if !ok || literal.Kind != token.STRING {
						continue
					}
					text, _ := strconv.Unquote(literal.Value) // the parser accepted it
					if text == ownName || len(text) > 1 && strings.ContainsAny(text, "-._/") {
						names[text] = append(names[text], contractPackage+"."+spec.Names[i].Name)
					}
				}
				return true
			})
		}
	}
	return names
}
