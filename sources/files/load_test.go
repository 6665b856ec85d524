package files

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/policy"
)

func upstreamYAML(name string) string {
	return fmt.Sprintf(`apiVersion: breakwater.dev/v1alpha1
kind: Upstream
metadata: {name: %s}
spec: {endpoints: [{address: 10.0.0.1, port: 80}]}
`, name)
}

// write makes a tree of files in a new directory, and makes that the working directory, so that diagnostics
// have the same file names on every machine.
func write(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, data := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoadFindsFiles(t *testing.T) {
	write(t, map[string]string{
		"dir/a.yaml":              upstreamYAML("a"),
		"dir/sub/b.yml":           upstreamYAML("b"),
		"dir/tree.yaml/c.yaml":    upstreamYAML("c"),
		"dir/notes.txt":           "not YAML: at: all",
		"dir/.hidden.yaml":        "broken: [",
		"dir/.git/config.yaml":    "broken: [",
		"dir/..2024_01/d.yaml":    upstreamYAML("d"),
		"elsewhere/e.yaml":        upstreamYAML("e"),
		"elsewhere/f.conf":        upstreamYAML("f"),
		"dir/comments.yaml":       "# nothing\n",
		"dir/empty.yaml":          "",
		"elsewhere/tree/g/g.yaml": upstreamYAML("g"),
	})
	// A mounted ConfigMap: the files are links through ..data into a hidden directory.
	must(t, os.Symlink("..2024_01", "dir/..data"))
	must(t, os.Symlink("..data/d.yaml", "dir/d.yaml"))
	// Links to a file elsewhere and nowhere, and a second way to a file.
	must(t, os.Symlink("../elsewhere/e.yaml", "dir/e.yaml"))
	must(t, os.Symlink("a.yaml", "dir/z.yaml"))
	must(t, os.Symlink("nowhere", "dir/dangling"))
	must(t, os.Symlink("elsewhere/tree", "linked")) // a path that the caller gives may be a link

	set, ds := NewLoader([]string{"dir", "elsewhere/f.conf", "dir/a.yaml", "linked"}, policy.BuiltinDefaults()).Load()
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	var got []string
	for _, u := range set.Upstreams {
		got = append(got, u.Name+" "+u.Origin.File)
	}
	want := []string{
		"a dir/a.yaml", "b dir/sub/b.yml", "c dir/tree.yaml/c.yaml", "d dir/d.yaml", "e dir/e.yaml",
		"f elsewhere/f.conf", "g linked/g/g.yaml",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("upstreams differ (-want +got):\n%s", diff)
	}
}

// refusedLoad is a case of files that cannot be loaded.
type refusedLoad struct {
	files map[string]string
	setup func(t *testing.T)
	paths []string
	want  string
}

func (tc refusedLoad) run(t *testing.T) {
	write(t, tc.files)
	if tc.setup != nil {
		tc.setup(t)
	}
	set, ds := NewLoader(tc.paths, policy.BuiltinDefaults()).Load()
	if set != nil {
		t.Error("Load returned a set")
	}
	if diff := cmp.Diff(tc.want, ds.Error()); diff != "" {
		t.Errorf("diagnostics differ (-want +got):\n%s", diff)
	}
}

func TestLoadDiagnostics(t *testing.T) {
	for name, tc := range map[string]refusedLoad{
		"no path": {
			want: `policies: no path; must be at least one file or directory [no-policies]`,
		},
		"a directory that is not there": {
			paths: []string{"gone"},
			want:  `gone: no such file or directory; must be a readable file or directory [unreadable-file]`,
		},
		"an empty directory": {
			setup: func(t *testing.T) { must(t, os.MkdirAll("dir/sub", 0o755)) },
			paths: []string{"dir"},
			want:  `dir: a directory without policies; must be a directory with *.yaml or *.yml files [no-policies]`,
		},
		"one good directory of two": {
			files: map[string]string{"dir/a.yaml": upstreamYAML("a"), "other/notes.txt": ""},
			paths: []string{"dir", "other"},
			want:  `other: a directory without policies; must be a directory with *.yaml or *.yml files [no-policies]`,
		},
		"a loop of links": {
			setup: func(t *testing.T) {
				must(t, os.Mkdir("dir", 0o755))
				must(t, os.Symlink("b.yaml", "dir/a.yaml"))
				must(t, os.Symlink("a.yaml", "dir/b.yaml"))
			},
			paths: []string{"dir"},
			want: `dir/a.yaml: EvalSymlinks: too many links; must be a readable file or directory [unreadable-file]
dir/b.yaml: EvalSymlinks: too many links; must be a readable file or directory [unreadable-file]`,
		},
		"a pipe nobody writes to": {
			setup: func(t *testing.T) {
				must(t, os.Mkdir("dir", 0o755))
				must(t, syscall.Mkfifo("dir/a.yaml", 0o644))
			},
			paths: []string{"dir"},
			want:  `dir/a.yaml: not a regular file; must be a readable file or directory [unreadable-file]`,
		},
		"a device": {
			paths: []string{"/dev/zero"},
			want:  `/dev/zero: not a regular file; must be a readable file or directory [unreadable-file]`,
		},
		"a file too large": {
			files: map[string]string{"a.yaml": strings.Repeat("#", policy.MaxFileSize+1), "b.yaml": strings.Repeat("#", policy.MaxFileSize)},
			paths: []string{"a.yaml", "b.yaml"},
			want:  `a.yaml: a larger file; must be at most 1 MiB [file-too-large]`,
		},
		"what can be read is judged, but not for what may be elsewhere": {
			files: map[string]string{"a.yaml": "services:\n  elsewhere: {failure_threshold: x}\n"},
			paths: []string{"a.yaml", "gone.yaml"},
			want: `a.yaml:2:34: services.elsewhere.failure_threshold = x; must be a number from 0 to 1000000 [wrong-type]
gone.yaml: no such file or directory; must be a readable file or directory [unreadable-file]`,
		},
	} {
		t.Run(name, tc.run)
	}
}

// TestLoadMountedDirectories loads directories as the kubelet mounts projected volumes and items with paths:
// each is a link into the hidden directory that the kubelet swaps. Links that form a loop are followed once.
func TestLoadMountedDirectories(t *testing.T) {
	write(t, map[string]string{
		"mounted/..1/team-a/p.yaml": upstreamYAML("a"), "mounted/..1/team-b/deep/q.yaml": upstreamYAML("b"),
	})
	must(t, os.Symlink("..1", "mounted/..data"))
	for _, name := range []string{"team-a", "team-b"} {
		must(t, os.Symlink("..data/"+name, "mounted/"+name))
	}
	must(t, os.Symlink(".", "mounted/round"))
	must(t, os.Symlink("../..", "mounted/..1/team-a/up"))
	must(t, os.Symlink("mounted", "linked"))
	absolute, err := filepath.Abs("mounted/..data/team-a")
	must(t, err)
	must(t, os.Symlink(absolute, "mounted/z"))
	for _, path := range []string{"mounted", "linked", filepath.Dir(filepath.Dir(absolute))} {
		set, ds := NewLoader([]string{path, "mounted"}, policy.BuiltinDefaults()).Load()
		if len(ds) > 0 {
			t.Errorf("%s: %v", path, ds)
			continue
		}
		var got []string
		for _, u := range set.Upstreams {
			got = append(got, u.Name+" "+u.Origin.File)
		}
		want := []string{"a " + path + "/team-a/p.yaml", "b " + path + "/team-b/deep/q.yaml"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("upstreams of %s differ (-want +got):\n%s", path, diff)
		}
	}
}

// TestLoadLinks checks that a link in a directory leads to no directory elsewhere, and that diagnostics show
// nothing of a file that is not a policy.
func TestLoadLinks(t *testing.T) {
	for name, tc := range map[string]refusedLoad{
		"links to directories": {
			files: map[string]string{"dir/sub/a.yaml": upstreamYAML("a"), "elsewhere/b.yaml": upstreamYAML("b")},
			setup: func(t *testing.T) {
				must(t, os.Symlink("../elsewhere", "dir/more"))
				must(t, os.Symlink("..", "dir/sub/up")) // the directory itself: its files are read once
				must(t, os.Symlink("../../elsewhere", "dir/sub/dots"))
				must(t, os.Symlink("../directory", "dir/alike"))
				must(t, os.Mkdir("directory", 0o755))
				must(t, os.Symlink("/proc", "dir/proc.yaml"))
			},
			paths: []string{"dir"},
			want: `dir/alike: a link to a directory elsewhere; must be a file, or a directory below the one that was given; give what it leads to by itself [linked-directory]
dir/more: a link to a directory elsewhere; must be a file, or a directory below the one that was given; give what it leads to by itself [linked-directory]
dir/proc.yaml: a link to a directory elsewhere; must be a file, or a directory below the one that was given; give what it leads to by itself [linked-directory]
dir/sub/dots: a link to a directory elsewhere; must be a file, or a directory below the one that was given; give what it leads to by itself [linked-directory]`,
		},
		"links to files that are no policies": {
			files: map[string]string{
				"passwd": "root:x:0:0:root:/root:/bin/sh\n", "secret": "password: hunter2\nuser: bob\n", "list": "- hunter2\n", "anchor": "a: &hunter2 1\nb: *hunter3\n",
				"compose": "services: {db: {image: postgres, environment: {TOKEN: hunter2}}}\n", "token": "services: {token: hunter2}\n", "services": "services: [hunter2]\n",
				"mixed":  "services: {a: {failure_threshold: 5}, b: {failure_threshold: 5, password: hunter2}}\n",
				"tagged": "!hunter2 text\n", "bytes": "PATH=hunter2\x00", "manifest": "apiVersion: v1\nkind: Secret\nhunter2: {a: b}\n", "dir/a.yaml": upstreamYAML("a"),
			},
			setup: func(t *testing.T) {
				for _, name := range []string{"passwd", "secret", "list", "anchor", "tagged", "bytes", "manifest", "compose", "token", "services", "mixed"} {
					must(t, os.Symlink("../"+name, "dir/"+name+".yaml"))
				}
			},
			paths: []string{"dir"},
			want: `dir/anchor.yaml:1:1: an alias without its anchor; must be well-formed YAML [yaml-syntax]
dir/bytes.yaml:1:13: the control character U+0000; must be text in UTF-8 [not-text]
dir/compose.yaml:1:1: a document that is no policy; must be an object with apiVersion breakwater.dev/v1alpha1 and a kind, or with services that have no fields but those of the short form [not-a-policy]
dir/list.yaml:1:1: a document that is no policy; must be an object with apiVersion breakwater.dev/v1alpha1 and a kind, or with services that have no fields but those of the short form [not-a-policy]
dir/manifest.yaml:1:1: a document that is no policy; must be an object with apiVersion breakwater.dev/v1alpha1 and a kind, or with services that have no fields but those of the short form [not-a-policy]
dir/mixed.yaml:1:1: a document that is no policy; must be an object with apiVersion breakwater.dev/v1alpha1 and a kind, or with services that have no fields but those of the short form [not-a-policy]
dir/passwd.yaml:1:1: a document that is no policy; must be an object with apiVersion breakwater.dev/v1alpha1 and a kind, or with services that have no fields but those of the short form [not-a-policy]
dir/secret.yaml:1:1: a document that is no policy; must be an object with apiVersion breakwater.dev/v1alpha1 and a kind, or with services that have no fields but those of the short form [not-a-policy]
dir/services.yaml:1:1: a document that is no policy; must be an object with apiVersion breakwater.dev/v1alpha1 and a kind, or with services that have no fields but those of the short form [not-a-policy]
dir/tagged.yaml:1:1: a document that is no policy; must be an object with apiVersion breakwater.dev/v1alpha1 and a kind, or with services that have no fields but those of the short form [not-a-policy]
dir/token.yaml:1:1: a document that is no policy; must be an object with apiVersion breakwater.dev/v1alpha1 and a kind, or with services that have no fields but those of the short form [not-a-policy]`,
		},
	} {
		t.Run(name, tc.run)
	}
}

func TestLoadTooManyFiles(t *testing.T) {
	files := map[string]string{}
	for i := range MaxTotalSize/policy.MaxFileSize + 2 {
		files[fmt.Sprintf("dir/%03d.yaml", i)] = strings.Repeat("#", policy.MaxFileSize)
	}
	write(t, files)
	set, ds := NewLoader([]string{"dir"}, policy.BuiltinDefaults()).Load()
	const want = `dir/064.yaml: one file too many; must be at most 10000 files and 64 MiB in all [too-many-files]`
	if got := ds.Error(); set != nil || got != want {
		t.Errorf("Load: set %v, %s; want no set, %s", set, got, want)
	}
}
