package mesh

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"breakwater.dev/policy"
)

// load reads the policies in a directory, and returns the files with their content.
func load(t *testing.T, dir string) (*policy.Set, map[string]string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var files []policy.File
	content := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, policy.File{Name: filepath.Base(path), Data: text})
		content[filepath.Base(path)] = string(text)
	}
	set, problems := policy.Parse(files, policy.BuiltinDefaults())
	for _, p := range problems {
		t.Error(p)
	}
	return set, content
}

// TestChanges: each change of the mesh changes one file and one upstream, and a rewrite changes none.
func TestChanges(t *testing.T) {
	dir := t.TempDir()
	m, err := New(dir, 250)
	if err != nil {
		t.Fatal(err)
	}
	set, before := load(t, dir)
	if len(set.Upstreams) != 250 || len(before) != 4 {
		t.Fatalf("%d upstreams in %d files, want 250 in 4", len(set.Upstreams), len(before))
	}
	for name, change := range map[string]func() error{
		"port 9001": func() error { return m.SetPort(7, 9001) }, "timeout: 4.5s": func() error { return m.SetTimeout(1, 4500*time.Millisecond) },
		"name: u00250}": func() error { _, err := m.Add(); return err },
		"":              func() error { return m.Rewrite(3) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		_, after := load(t, dir)
		changed := 0
		for file, text := range after {
			if text != before[file] {
				changed++
				if !strings.Contains(text, strings.ReplaceAll(name, "port ", "port: ")) {
					t.Errorf("%s is not in the file that has changed", name)
				}
			}
		}
		if want := min(len(name), 1); changed != want {
			t.Errorf("%s: %d files have changed, want %d", name, changed, want)
		}
		before = after
	}
	if name, err := m.Remove(); err != nil || name != "u00250" {
		t.Errorf("removed %q, error %v", name, err)
	}
	if set, _ := load(t, dir); len(set.Upstreams) != 250 {
		t.Errorf("%d upstreams after the last one was removed, want 250", len(set.Upstreams))
	}
	if err := m.SetTimeout(3, time.Second); err == nil {
		t.Error("an upstream without a policy of its own got a timeout")
	}
}

// TestMarks are in the bytes of the messages that they stand for, and not in others.
func TestMarks(t *testing.T) {
	address := func(port uint32) proto.Message {
		return &corev3.SocketAddress{Address: "10.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port}}
	}
	const long = 4_321*time.Second + 123*time.Millisecond
	for _, tt := range []struct {
		message proto.Message
		mark    []byte
		want    bool
	}{
		{address(9001), PortMark(9001), true},
		{address(9002), PortMark(9001), false},
		{durationpb.New(long), TimeoutMark(long), true},
		{durationpb.New(long + time.Second), TimeoutMark(long), false},
	} {
		text, err := proto.Marshal(tt.message)
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.Contains(text, tt.mark); got != tt.want {
			t.Errorf("%v: the mark is there: %t, want %t", tt.message, got, tt.want)
		}
	}
}
