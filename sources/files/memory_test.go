package files

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"breakwater.dev/policy"
)

// clocked returns a loader whose clock is moved by hand.
func clocked(paths ...string) (l *Loader, pass func(time.Duration)) {
	l = NewLoader(paths, policy.BuiltinDefaults())
	now := time.Now()
	l.memory.now = func() time.Time { return now }
	return l, func(d time.Duration) { now = now.Add(d) }
}

func load(t *testing.T, l *Loader) *policy.Set {
	t.Helper()
	set, problems := l.Load()
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return set
}

// meshOf is files with ten upstreams each, and a policy for each upstream.
func meshOf(files int) map[string]string {
	all := map[string]string{}
	for f := range files {
		var b strings.Builder
		for i := range 10 {
			fmt.Fprintf(&b, "%s---\nservices: {u%d-%d: {failure_threshold: 3}}\n---\n", upstreamYAML(fmt.Sprintf("u%d-%d", f, i)), f, i)
		}
		all[fmt.Sprintf("dir/%03d.yaml", f)] = b.String()
	}
	return all
}

// TestALoadReadsWhatChanged: when one of 200 files changes, that file alone is read and parsed, and what depends on its
// change is new in the set. When no file changes, nothing is read.
func TestALoadReadsWhatChanged(t *testing.T) {
	texts := meshOf(200)
	write(t, texts)
	l, pass := clocked("dir")
	first := load(t, l)
	pass(tick)
	load(t, l) // reads all files a second time
	before := maps.Clone(l.memory.files)

	pass(time.Second)
	if set := load(t, l); set != first {
		t.Error("nothing changed, and the set is another one")
	}
	if !maps.Equal(l.memory.files, before) {
		t.Error("nothing changed, and files were read")
	}

	put(t, "dir/070.yaml", strings.Replace(texts["dir/070.yaml"], "u70-4: {failure_threshold: 3", "u70-4: {failure_threshold: 4", 1))
	set := load(t, l)
	var read, parsed, replaced []string
	for name, k := range l.memory.files {
		if k != before[name] {
			read = append(read, name)
		}
		if k.file.objects[0] != before[name].file.objects[0] {
			parsed = append(parsed, name)
		}
	}
	for i, u := range set.Upstreams {
		if u != first.Upstreams[i] {
			replaced = append(replaced, u.Name)
		}
	}
	if got := fmt.Sprint(read, parsed, replaced); got != "[dir/070.yaml] [dir/070.yaml] [u70-4]" {
		t.Errorf("read, parsed and replaced are %s", got)
	}

	must(t, os.Remove("dir/070.yaml"))
	load(t, l)
	if len(l.memory.files) != 199 || l.memory.files["dir/070.yaml"] != nil {
		t.Errorf("%d files are remembered, one of which is gone", len(l.memory.files))
	}
	for name, k := range l.memory.files {
		if k.file.Data != nil {
			t.Fatalf("the text of %s is remembered beside what it says", name)
		}
	}
}

// TestASecondReadParsesNothing if the file says the same, as at the start, where the watcher loads again.
func TestASecondReadParsesNothing(t *testing.T) {
	write(t, map[string]string{"dir/a.yaml": upstreamYAML("a")})
	l, _ := clocked("dir")
	set := load(t, l)
	first := l.memory.files["dir/a.yaml"]
	put(t, "dir/a.yaml", upstreamYAML("a")) // touched
	if load(t, l) != set {
		t.Error("the set is another one")
	}
	second := l.memory.files["dir/a.yaml"]
	if second == first || !slices.Equal(second.file.objects, first.file.objects) {
		t.Errorf("the file was read again: %t; it was parsed again: %t", second != first, second.file.objects[0] != first.file.objects[0])
	}
}

// TestStampsCountAfterATick shows when a file is read again although its stamp is the same.
func TestStampsCountAfterATick(t *testing.T) {
	write(t, map[string]string{"a.yaml": upstreamYAML("a")})
	l, pass := clocked("a.yaml")
	load(t, l)
	for i, step := range []struct {
		after time.Duration
		read  bool
	}{
		{0, true}, {tick - 1, true}, {1, true}, {0, false}, {time.Hour, false},
	} {
		pass(step.after)
		before := l.memory.files["a.yaml"]
		load(t, l)
		if read := l.memory.files["a.yaml"] != before; read != step.read {
			t.Errorf("step %d: the file is read: %t, want %t", i, read, step.read)
		}
	}
}

// TestEveryChangeIsSeen, also when the file keeps its length and the time of its content is set back, or when another
// file takes its name.
func TestEveryChangeIsSeen(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	for name, change := range map[string]func(t *testing.T, name string){
		"written in place": func(t *testing.T, name string) { put(t, "dir/a.yaml", upstreamYAML(name)) },
		"with an old time": func(t *testing.T, name string) {
			put(t, "dir/a.yaml", upstreamYAML(name))
			must(t, os.Chtimes("dir/a.yaml", old, old))
		},
		"renamed over it": func(t *testing.T, name string) {
			put(t, "new", upstreamYAML(name))
			must(t, os.Chtimes("new", old, old))
			must(t, os.Rename("new", "dir/a.yaml"))
		},
		"a link to another file": func(t *testing.T, name string) {
			put(t, "elsewhere/"+name, upstreamYAML(name))
			must(t, os.RemoveAll("dir/a.yaml"))
			must(t, os.Symlink("../elsewhere/"+name, "dir/a.yaml"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, map[string]string{"dir/a.yaml": upstreamYAML("a")})
			must(t, os.Chtimes("dir/a.yaml", old, old))
			l, pass := clocked("dir")
			for i := range 40 {
				want := fmt.Sprintf("a%d", i%10)
				change(t, want)
				if got := load(t, l).Upstreams[0].Name; got != want {
					t.Fatalf("change %d: the upstream is %s, want %s", i, got, want)
				}
				if i%3 == 0 {
					pass(tick)
					load(t, l)
				}
			}
		})
	}
}

// TestLoadsOfChangingFiles makes random changes of a tree of files: a loader that remembers returns what a new one returns.
func TestLoadsOfChangingFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	sets, refusals := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		must(t, os.RemoveAll("dir"))
		put(t, "dir/a.yaml", upstreamYAML("a"))
		l, pass := clocked("dir")
		file := rapid.SampledFrom([]string{"dir/a.yaml", "dir/b.yaml", "dir/c.yml", "dir/sub/d.yaml", "dir/e.txt", "dir/.f.yaml"})
		for range rapid.IntRange(1, 12).Draw(r, "changes") {
			path := file.Draw(r, "file")
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			switch rapid.IntRange(0, 7).Draw(r, "change") {
			case 0:
				must(t, os.RemoveAll(path))
			case 1:
				if err := os.Rename(path, file.Draw(r, "other name")); err != nil && !os.IsNotExist(err) {
					must(t, os.RemoveAll("dir/sub"))
				}
			case 2:
				must(t, os.RemoveAll(path))
				must(t, os.Symlink(rapid.SampledFrom([]string{"a.yaml", "nowhere", "sub"}).Draw(r, "target"), path))
			case 3:
				must(t, os.RemoveAll(path))
				must(t, os.Mkdir(path, 0o755))
			default:
				if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
					must(t, os.RemoveAll(path))
				}
				put(t, path, rapid.SampledFrom([]string{
					upstreamYAML(filepath.Base(path)[:1]), upstreamYAML("x"), "# nothing\n", "a: [", "services: {a: {failure_threshold: 3}}\n", "services: {a: {failure_threshold: 4}}\n",
				}).Draw(r, "text"))
			}
			pass(rapid.SampledFrom([]time.Duration{0, tick}).Draw(r, "pause"))
			set, problems := l.Load()
			want, wantProblems := NewLoader([]string{"dir"}, policy.BuiltinDefaults()).Load()
			if diff := cmp.Diff(wantProblems, problems); diff != "" || !reflect.DeepEqual(set, want) {
				r.Fatalf("set %+v, want %+v; problems (-want +got):\n%s", set, want, diff)
			}
			if set != nil {
				sets++
			} else {
				refusals++
			}
		}
	})
	if sets < 50 || refusals < 50 {
		t.Errorf("%d sets and %d refusals show too little", sets, refusals)
	}
}
