package archtest

import (
	"go/ast"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// contractPackage is the package with the names that the control plane and its proxies agree on.
const contractPackage = "wire"

// ownName is the name of the project. Proxies use it as the name of several things.
var ownName = strings.TrimSuffix(modulePath, ".dev")

// programs are the directories whose packages use the project's name for the program.
var programs = []string{"cmd", "examples"}

// routeName matches the name of a proxy's route, such as "web~open", or the end of such a name.
var routeName = regexp.MustCompile(`^[a-z0-9_/%-]*~[a-z]+$`)

// checkContract finds literals of names that belong to [contractPackage]. If two packages had their own copies of a name, the
// copies could drift apart, and only a test with a real proxy would notice. Tests may write the names, except names of routes.
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

// isProgram reports whether a directory is below one of programs.
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
