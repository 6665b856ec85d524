package files

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, data string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(data), 0o644))
}

// deadline is much longer than anything here takes.
const deadline = 20 * time.Second

// start watches paths and returns a channel of the calls to onChange.
func start(t *testing.T, o WatchOptions, paths ...string) <-chan struct{} {
	t.Helper()
	calls, ready, done := make(chan struct{}, 1000), make(chan struct{}), make(chan error)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		done <- Watch(ctx, paths, o, func() { close(ready) }, func() { calls <- struct{}{} })
	}()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
	<-ready
	return calls
}

func expectCall(t *testing.T, calls <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-calls:
	case <-time.After(deadline):
		t.Fatalf("not told of %s", what)
	}
}

// notified never polls, so every change it reports came from the kernel.
var notified = WatchOptions{Quiet: 20 * time.Millisecond, Max: time.Second, Poll: time.Hour}

func TestDirectory(t *testing.T) {
	root := filepath.Join(t.TempDir(), "policies")
	put(t, filepath.Join(root, "a.yaml"), "1")
	calls := start(t, notified, root)
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"a file written", func() error { return os.WriteFile(filepath.Join(root, "a.yaml"), []byte("2"), 0o644) }},
		{"a file made", func() error { return os.WriteFile(filepath.Join(root, "b.yaml"), []byte("2"), 0o644) }},
		{"a file renamed", func() error { return os.Rename(filepath.Join(root, "b.yaml"), filepath.Join(root, "c.yaml")) }},
		{"a file removed", func() error { return os.Remove(filepath.Join(root, "c.yaml")) }},
		{"a directory made", func() error { return os.Mkdir(filepath.Join(root, "sub"), 0o755) }},
		{"a file made in it", func() error { return os.WriteFile(filepath.Join(root, "sub", "d.yaml"), nil, 0o644) }},
		{"the whole directory removed", func() error { return os.RemoveAll(root) }},
		{"the directory made again", func() error { return os.Mkdir(root, 0o755) }},
		{"a file made in the new one", func() error { return os.WriteFile(filepath.Join(root, "a.yaml"), nil, 0o644) }},
	} {
		drain(calls)
		must(t, step.do())
		expectCall(t, calls, step.what)
	}
}

// drain drops the calls that the step before caused.
func drain(calls <-chan struct{}) {
	for {
		select {
		case <-calls:
		case <-time.After(5 * notified.Quiet):
			return
		}
	}
}

func TestConfigMap(t *testing.T) {
	root := filepath.Join(t.TempDir(), "mounted")
	put(t, filepath.Join(root, "..1", "a.yaml"), "1")
	must(t, os.Symlink("..1", filepath.Join(root, "..data")))
	must(t, os.Symlink(filepath.Join("..data", "a.yaml"), filepath.Join(root, "a.yaml")))
	directory, file := start(t, notified, root), start(t, notified, filepath.Join(root, "a.yaml"))

	// The kubelet makes a new directory and a new link, and renames the link over the old one.
	put(t, filepath.Join(root, "..2", "a.yaml"), "2")
	must(t, os.Symlink("..2", filepath.Join(root, "..data_tmp")))
	must(t, os.Rename(filepath.Join(root, "..data_tmp"), filepath.Join(root, "..data")))
	expectCall(t, directory, "the swap, watching the directory")
	expectCall(t, file, "the swap, watching one file")
}

// If a ConfigMap is mounted by items with paths, its directories are links too.
func TestConfigMapWithDirectories(t *testing.T) {
	root := filepath.Join(t.TempDir(), "mounted")
	put(t, filepath.Join(root, "..1", "team-a", "p.yaml"), "1")
	must(t, os.Symlink("..1", filepath.Join(root, "..data")))
	must(t, os.Symlink(filepath.Join("..data", "team-a"), filepath.Join(root, "team-a")))
	calls := start(t, notified, root)
	before := look([]string{root}).sum

	put(t, filepath.Join(root, "..2", "team-a", "p.yaml"), "12")
	must(t, os.Symlink("..2", filepath.Join(root, "..data_tmp")))
	must(t, os.Rename(filepath.Join(root, "..data_tmp"), filepath.Join(root, "..data")))
	must(t, os.RemoveAll(filepath.Join(root, "..1")))
	expectCall(t, calls, "the swap")
	if look([]string{root}).sum == before {
		t.Error("a poll does not see the swap")
	}
	drain(calls)
	put(t, filepath.Join(root, "..2", "team-a", "p.yaml"), "123")
	expectCall(t, calls, "a file written in the directory that is there now")
}

// A directory may be a link, as git-sync makes it. Its new target is watched too.
func TestLinkedDirectory(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "trees", "1", "a.yaml"), "1")
	put(t, filepath.Join(dir, "trees", "2", "a.yaml"), "2")
	link := filepath.Join(dir, "current")
	must(t, os.Symlink("trees/1", link))
	calls := start(t, notified, link)

	must(t, os.Symlink("trees/2", link+"_tmp"))
	must(t, os.Rename(link+"_tmp", link))
	expectCall(t, calls, "the link's new target")
	drain(calls)
	put(t, filepath.Join(dir, "trees", "2", "a.yaml"), "3")
	expectCall(t, calls, "a file written in the new target")
}

// A path that does not exist yet is seen when it comes. Its neighbours are ignored.
func TestNotThereYetAmongOthers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "policy.yaml")
	calls := start(t, notified, path)
	put(t, filepath.Join(dir, "other.yaml"), "1")
	put(t, filepath.Join(dir, "policy.yaml.bak"), "1")
	put(t, filepath.Join(dir, ".policy.yaml.swp"), "1")
	select {
	case <-calls:
		t.Error("told of a neighbour")
	case <-time.After(10 * notified.Quiet):
	}
	put(t, path, "1")
	expectCall(t, calls, "the file made")
}

// A poll finds changes that the kernel does not report, here at the target of a link.
func TestPoll(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "elsewhere", "a.yaml")
	put(t, target, "1")
	put(t, filepath.Join(dir, "policies", "b.yaml"), "1")
	must(t, os.Symlink(target, filepath.Join(dir, "policies", "a.yaml")))
	calls := start(t, WatchOptions{Poll: 20 * time.Millisecond}, filepath.Join(dir, "policies"))
	put(t, target, "12")
	expectCall(t, calls, "the target of a link written")
}

func TestLookIsCheapToCompare(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "a.yaml"), "1")
	put(t, filepath.Join(dir, "sub", "b.yaml"), "1")
	must(t, os.Symlink("..", filepath.Join(dir, "sub", "loop")))
	before := look([]string{dir})
	if after := look([]string{dir}); after.sum != before.sum {
		t.Error("two looks at one thing differ")
	}
	if got := len(before.directories); got != 3 { // the parent, dir, sub
		t.Errorf("%d directories to watch, want 3", got)
	}
	put(t, filepath.Join(dir, ".hidden"), "1")
	hidden := look([]string{dir})
	put(t, filepath.Join(dir, "sub", "b.yaml"), "12")
	if after := look([]string{dir}); after.sum == hidden.sum {
		t.Error("a longer file looks the same")
	}
}

// TestLinkToDirectory checks that a link out of a watched directory is seen but not followed, and that a link
// that is watched by its own name is followed.
func TestLinkToDirectory(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	put(t, filepath.Join(dir, "a.yaml"), "1")
	put(t, filepath.Join(elsewhere, "sub", "b.yaml"), "1")
	link := filepath.Join(dir, "more")
	must(t, os.Symlink(elsewhere, link))
	for path, want := range map[string]int{dir: 2, link: 3} { // the parent, and what is walked
		before := look([]string{path})
		if got := len(before.directories); got != want {
			t.Errorf("%s: %d directories to watch, want %d", path, got, want)
		}
		put(t, filepath.Join(elsewhere, "sub", "b.yaml"), "12"+path)
		if same := look([]string{path}).sum == before.sum; same != (path == dir) {
			t.Errorf("%s: a file behind the link changed; the sum is the same: %t", path, same)
		}
	}
}
