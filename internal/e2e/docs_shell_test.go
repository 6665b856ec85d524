package e2e

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"breakwater.dev/internal/markdown"
)

// checkShell checks a block of commands, whether or not a test runs it. The block must parse, its programs must be known, and
// its flags, targets and paths must exist.
func checkShell(t *testing.T, b, _ markdown.Block) error {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "bash", "-n", "-c", b.Text).CombinedOutput(); err != nil {
		return fmt.Errorf("bash cannot parse this: %s", out)
	}
	var problems []error
	for _, words := range simpleCommands(b.Text) {
		if err := checkCommand(t, filepath.Dir(b.Page), words); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", strings.Join(words, " "), err))
		}
	}
	return errors.Join(problems...)
}

// plain has programs of the system, whose flags are not checked.
var plain = strings.Fields("cat cd cp curl done echo export for grep jobs kill mkdir mktemp mv openssl printf prometheus python3 rm sed seq sleep tail")

// checkCommand checks the words of one command on a page in dir.
func checkCommand(t *testing.T, dir string, words []string) error {
	program, args := words[0], words[1:]
	for _, w := range words {
		if program == "kubectl" && workload.MatchString(w) {
			continue
		}
		if err := checkPath(dir, w); err != nil {
			return err
		}
	}
	switch program {
	case "breakwater", "bin/breakwater", "/breakwater": // the last is the path in our image
		return checkBreakwater(t, args)
	case "make":
		return checkMake(args)
	case "kubectl":
		return checkKubectl(t, dir, args)
	case "docker":
		return checkDocker(args)
	case "envoy":
		return checkFlags(program, args, envoyFlags(t))
	case "go", "promtool": // their packages and files are paths
		return nil
	}
	if slices.Contains(plain, program) || ownPath(program) {
		return nil
	}
	return fmt.Errorf("no test knows the program %s; add it to docs_shell_test.go", program)
}

// topLevel returns the directories of the repository whose names begin a path in prose and in commands.
var topLevel = sync.OnceValue(func() map[string]bool {
	entries, err := os.ReadDir(root)
	if err != nil {
		panic(err) // this package is below the root, so the root exists
	}
	names := map[string]bool{}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "bin" {
			names[e.Name()] = true
		}
	}
	return names
})

// ownPath reports whether a word is the path of a file or directory from the root of the repository.
func ownPath(word string) bool {
	first, _, found := strings.Cut(strings.TrimPrefix(word, "./"), "/")
	return found && topLevel()[first] && !strings.ContainsAny(word, "$=*<>{:@ ")
}

// checkPath returns an error if a word is a path in the repository and does not exist, neither from the root nor from the
// page's directory.
func checkPath(dir, word string) error {
	if !ownPath(word) {
		return nil
	}
	for _, from := range []string{"", dir} {
		if _, err := os.Stat(filepath.Join(root, from, word)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("there is no %s in the repository", word)
}

var flagName = regexp.MustCompile(`^--[a-z][a-z0-9-]*`)

// flagsOf returns the flags in the help text of a program.
func flagsOf(help string) map[string]bool {
	flags := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)(?:^|[\s,])(--[a-z][a-z0-9-]*|-[a-zA-Z])\b`).FindAllStringSubmatch(help, -1) {
		flags[m[1]] = true
	}
	return flags
}

// checkFlags returns an error if a flag among the words is not one of flags.
func checkFlags(program string, words []string, flags map[string]bool) error {
	for _, w := range words {
		if f := flagName.FindString(w); f != "" && !flags[f] {
			return fmt.Errorf("%s has no flag %s; it has %s", program, f, strings.Join(slices.Sorted(maps.Keys(flags)), " "))
		}
	}
	return nil
}

// helps caches the help texts of commands.
var helps sync.Map

// help returns the help text of a command of breakwater.
func help(t *testing.T, command ...string) string {
	t.Helper()
	name := strings.Join(command, " ")
	if text, ok := helps.Load(name); ok {
		return text.(string)
	}
	text := breakwater(t, append(command, "--help")...).stdout
	helps.Store(name, text)
	return text
}

// checkBreakwater returns an error if a subcommand or one of its flags does not exist.
func checkBreakwater(t *testing.T, args []string) error {
	t.Helper()
	var command []string
	for _, a := range args {
		if _, below, ok := strings.Cut(help(t, command...), "Available Commands:"); !ok || !strings.Contains(below, "\n  "+a+" ") {
			break
		}
		command = append(command, a)
	}
	if len(args) > 0 && len(command) == 0 && !strings.HasPrefix(args[0], "-") {
		return fmt.Errorf("breakwater has no command %s", args[0])
	}
	if len(command) == 1 && len(args) > 1 && command[0] == "breakers" && !strings.HasPrefix(args[1], "-") {
		return fmt.Errorf("breakwater breakers has no command %s", args[1])
	}
	return checkFlags(strings.Join(append([]string{"breakwater"}, command...), " "), args[len(command):], flagsOf(help(t, command...)))
}

// checkMake returns an error if a target, or a variable that is set, is not in the Makefile.
func checkMake(args []string) error {
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		return err
	}
	for _, a := range args {
		pattern, missing := `(?m)^`+regexp.QuoteMeta(a)+`:`, "target "+a
		if name, _, found := strings.Cut(a, "="); found {
			pattern, missing = `(?m)^`+regexp.QuoteMeta(name)+`\s*\?=`, "variable "+name
		}
		if !regexp.MustCompile(pattern).Match(text) {
			return fmt.Errorf("the Makefile has no %s", missing)
		}
	}
	return nil
}

// checkDocker returns an error if the Dockerfile does not have the stage.
func checkDocker(args []string) error {
	text, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		return err
	}
	if i := slices.Index(args, "--target"); i >= 0 && i+1 < len(args) && !strings.Contains(string(text), " AS "+args[i+1]+"\n") {
		return fmt.Errorf("the Dockerfile has no stage %s", args[i+1])
	}
	return nil
}

var (
	kubectlVerbs = strings.Fields("apply create delete exec get label logs port-forward rollout scale")
	workload     = regexp.MustCompile(`^(?:deploy|deployment|svc|service)/([a-z-]+)$`)
)

// checkKubectl returns an error if no verb is known, or if a workload does not exist. The words after -- are a command in one
// of our containers.
func checkKubectl(t *testing.T, dir string, args []string) error {
	inside := slices.Index(args, "--")
	if inside >= 0 {
		if err := checkCommand(t, dir, args[inside+1:]); err != nil {
			return err
		}
		args = args[:inside]
	}
	if !slices.ContainsFunc(args, func(a string) bool { return slices.Contains(kubectlVerbs, a) }) {
		return fmt.Errorf("the test knows no verb among %v; add it to docs_shell_test.go", args)
	}
	manifests, err := filepath.Glob(filepath.Join(root, "deploy/k8s/*/*.yaml"))
	if err != nil {
		return err
	}
	var all strings.Builder
	for _, m := range manifests {
		text, err := os.ReadFile(m)
		if err != nil {
			return err
		}
		all.Write(text)
	}
	for _, a := range args {
		if m := workload.FindStringSubmatch(a); m != nil && !strings.Contains(all.String(), "\n  name: "+m[1]+"\n") {
			return fmt.Errorf("no manifest in deploy/k8s makes %s", a)
		}
	}
	return nil
}
