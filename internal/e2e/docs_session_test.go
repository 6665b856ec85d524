package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"breakwater.dev/internal/envoybin"
	"breakwater.dev/internal/markdown"
)

// notRun begins the comment above a block that is not run. The reason follows it.
const notRun = "not run: "

var (
	// promised matches the end of a line that shows the output of its command.
	promised = regexp.MustCompile(`\s+#=> (.+)$`)
	// staysUp matches commands that end only at Ctrl-C. A session runs them in the background, and checks that they still
	// run at its end.
	staysUp = regexp.MustCompile(`^(?:bin/)?(?:breakwater serve|breakwater breakers watch|envoy|prometheus)(?: [^&]*)?$`)
)

// scriptOf returns the commands of a page that can be run, in their order.
func scriptOf(p markdown.Page) []string {
	var all []string
	for _, b := range p.Blocks {
		if b.Kind == "sh" && !strings.HasPrefix(b.Note, notRun) {
			all = append(all, shellLines(b.Text)...)
		}
	}
	return all
}

// TestDocsCommands runs the commands of each page except the README, in their order, in a copy of the repository. The programs
// breakwater and envoy are on the PATH. A control plane runs with the policies of the quickstart, and the commands have its
// admin token.
func TestDocsCommands(t *testing.T) {
	t.Parallel()
	ran := 0
	for _, p := range documentation(t) {
		commands := scriptOf(p)
		if len(commands) == 0 || p.Path == "README.md" {
			continue
		}
		ran++
		t.Run(p.Path, func(t *testing.T) {
			t.Parallel()
			c := newCheckout(t)
			if !slices.ContainsFunc(commands, func(c string) bool { return strings.Contains(c, "breakwater serve") }) {
				m := &mesh{ip: c.ip, policies: policiesOn(t, c.ip)}
				save(t, c.dir, "token", token)
				m.startControl(t, "--admin-token-file", filepath.Join(c.dir, "token"))
			}
			c.run(t, commands)
		})
	}
	if ran < 2 {
		t.Errorf("only %d pages have commands that were run, want more", ran)
	}
}

// token is the admin token of the control plane for the commands of a page.
const token = "a-token-of-the-test"

// checkout is a copy of the repository with built programs, for a loopback address that no other test has.
type checkout struct{ dir, ip string }

// newCheckout copies the repository, and installs the programs under test. They use the ports that the documentation names,
// on a loopback address of the checkout's own in place of 127.0.0.1.
func newCheckout(t *testing.T) *checkout {
	t.Helper()
	c := &checkout{dir: t.TempDir(), ip: ownIP(t)}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		to := filepath.Join(c.dir, path)
		switch {
		case d.IsDir() && path != "." && (path == "bin" || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir():
			return os.MkdirAll(to, 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, info.Mode())
	})
	if err != nil {
		t.Fatal(err)
	}
	c.install(t)
	return c
}

// programs is the directory of a checkout that is on the PATH.
const programs = "programs"

// install puts the programs under test on the PATH.
func (c *checkout) install(t *testing.T) {
	t.Helper()
	real, err := filepath.Abs(binary)
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(c.dir, programs)
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"breakwater": `case "$1" in
serve) set -- "$@" --xds-listen IP:18000 --http-listen IP:18080 ;;
bootstrap)
	case "$*" in *--xds*) ;; *) set -- "$@" --xds IP:18000 ;; esac
	set -- "$@" --listen IP:10000 --admin IP:9901
	;;
esac
exec ` + real + ` "$@"`,
		"envoy": `exec ` + envoybin.Path(t) + ` "$@" --use-dynamic-base-id`,
	} {
		script := "#!/bin/bash\n" + strings.ReplaceAll(text, "IP", c.ip) + "\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// run gives commands to one shell, as a reader does who copies them. It checks that each command succeeds, and that its
// output has the text that the documentation shows.
func (c *checkout) run(t *testing.T, commands []string) {
	t.Helper()
	script := "set -euo pipefail\nstay=()\n"
	for i, command := range commands {
		line := strings.ReplaceAll(promised.ReplaceAllString(command, ""), "127.0.0.1", c.ip)
		if staysUp.MatchString(line) {
			line += " & stay+=($!)"
		}
		script += fmt.Sprintf("echo '<<<%d'\n%s\n", i, line)
	}
	script += "echo '<<<'\nif ((${#stay[@]})); then sleep 1; kill -0 \"${stay[@]}\"; fi\n"
	printed, err := c.bash(t, script)
	last := 0
	for i, command := range commands {
		_, rest, ran := strings.Cut(printed, fmt.Sprintf("<<<%d\n", i))
		if !ran {
			break
		}
		last = i
		out, _, _ := strings.Cut(rest, "<<<")
		if m := promised.FindStringSubmatch(command); m != nil && !strings.Contains(out, m[1]) {
			t.Errorf("the output of\n%s\nhas no %q:\n%s", command, m[1], out)
		}
	}
	if err != nil {
		t.Errorf("the commands end with %v, at the command\n%s\nThe end of their output is:\n%s", err, commands[last], tail(printed, 30))
	}
}

// bash runs a script in the checkout, and then ends all processes that the script has started. It returns the output.
func (c *checkout) bash(t *testing.T, script string) (string, error) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "session.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(c.dir, programs)+":"+os.Getenv("PATH"), "ENVOY="+filepath.Join(c.dir, programs, "envoy"),
		"BREAKWATER_SERVER=http://"+c.ip+":18080", "BREAKWATER_ADMIN_TOKEN="+token)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }() // an error means that no process is left
	limit := time.AfterFunc(5*patience, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	err = cmd.Wait()
	text, readErr := os.ReadFile(log.Name())
	if readErr != nil {
		t.Fatal(readErr)
	}
	return string(text), err
}

// portsFree returns an error if one of the ports is in use.
func portsFree(ip string, ports ...string) error {
	var taken []error
	for _, port := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, port))
		if err == nil {
			err = l.Close()
		}
		taken = append(taken, err)
	}
	return errors.Join(taken...)
}
