package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStateDir(t *testing.T) {
	const listen = "127.0.0.1:18000"
	tests := []struct {
		name   string
		env    map[string]string
		listen string
		want   string
		given  bool
	}{
		{"systemd's", map[string]string{"STATE_DIRECTORY": "/var/lib/breakwater", "HOME": "/root", "XDG_STATE_HOME": "/x"}, listen, "/var/lib/breakwater", true},
		{"the first of systemd's", map[string]string{"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}, listen, "/var/lib/a", true},
		{"systemd's, with any port", map[string]string{"STATE_DIRECTORY": "/var/lib/a"}, "127.0.0.1:0", "/var/lib/a", true},
		{"XDG's", map[string]string{"HOME": "/h", "XDG_STATE_HOME": "/x"}, listen, "/x/breakwater/127.0.0.1_18000", false},
		{"XDG's that is relative", map[string]string{"HOME": "/h", "XDG_STATE_HOME": "x"}, listen, "/h/.local/state/breakwater/127.0.0.1_18000", false},
		{"the home's", map[string]string{"HOME": "/h"}, "[::1]:18000", "/h/.local/state/breakwater/___1__18000", false},
		{"no way out", map[string]string{"HOME": "/h"}, "../../etc:1", "/h/.local/state/breakwater/.._.._etc_1", false},
		{"no home", nil, listen, "", false},
		{"a relative home", map[string]string{"HOME": "."}, listen, "", false},
		{"any port", map[string]string{"HOME": "/h"}, "127.0.0.1:0", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if dir, given := stateDir(func(name string) string { return tt.env[name] }, tt.listen); dir != tt.want || given != tt.given {
				t.Errorf("got %q, %v; want %q, %v", dir, given, tt.want, tt.given)
			}
		})
	}
}

// TestFindStateDir: a default directory that cannot be used is a warning.
func TestFindStateDir(t *testing.T) {
	home := t.TempDir()
	blocked := filepath.Join(home, "a-file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, home, want, warning string }{
		{"made", home, filepath.Join(home, "breakwater/127.0.0.1_1"), ""},
		{"there already", home, filepath.Join(home, "breakwater/127.0.0.1_1"), ""},
		{"not to be made", blocked, "", "making the directory"},
		{"not to be written", "/proc/self", "", "making the directory"},
		{"nowhere", "", "", "no home directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log bytes.Buffer
			lookup := func(name string) string {
				if name == "XDG_STATE_HOME" {
					return tt.home
				}
				return ""
			}
			got := findStateDir(lookup, "127.0.0.1:1", slog.New(slog.NewTextHandler(&log, nil)))
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if warned := log.Len() > 0; warned != (tt.warning != "") || !strings.Contains(log.String(), tt.warning) {
				t.Errorf("logged %q, want a warning that says %q", &log, tt.warning)
			}
			if got == "" {
				return
			}
			info, err := os.Stat(got)
			if err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, %v; want a directory for its owner only", got, info, err)
			}
			if left, err := os.ReadDir(got); err != nil || len(left) > 0 {
				t.Errorf("%v is left in it (%v)", left, err)
			}
		})
	}
}

func TestAdminToken(t *testing.T) {
	const good = "0123456789abcdef"
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct{ name, file, env, want, problem string }{
		{"none", "", "", "", ""},
		{"blank environment", "", " \n", "", ""},
		{"environment", "", good + "\n", good, ""},
		{"file", write("good", "  "+good+"\r\n"), "", good, ""},
		{"file before environment", write("good", good), "another-one-of-some-length", good, ""},
		{"no file", filepath.Join(dir, "none"), good, "", "no such file"},
		{"a directory", dir, good, "", "is a directory"},
		{"empty file", write("empty", "\n"), good, "", "is empty"},
		{"short file", write("short", good[:15]), "", "", "has 15 characters"},
		{"short environment", "", good[:1], "", "BREAKWATER_ADMIN_TOKEN is too short"},
		{"two lines", write("lines", good+"\n"+good), "", "", "visible ASCII"},
		{"not ASCII", "", good + "ü", "", "visible ASCII"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(tokenEnv, tt.env)
			got, err := serverToken(tt.file)
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Errorf("got %v, want an error that says %q", err, tt.problem)
				}
				if err != nil && strings.Contains(err.Error(), good) {
					t.Errorf("the error tells the token: %v", err)
				}
				return
			}
			if err != nil || got.text != tt.want {
				t.Errorf("got %q, %v; want %q", got.text, err, tt.want)
			}
		})
	}
}

func TestPeers(t *testing.T) {
	tests := []struct {
		name, list, store string
		listed            int
		named, problem    string
	}{
		{"addresses", "10.0.0.1:18000,10.0.0.2:18000,10.0.0.3:18000", "", 3, "", ""},
		{"IPv6", "[fd00::1]:18000,[fd00::2]:18000", "", 2, "", ""},
		{"names", "a:18000,b:18000", "", 2, "", ""},
		{"one address", "10.0.0.1:18000", "", 1, "", ""},
		{"a name", "breakwater.mesh.svc:18000", "", 0, "breakwater.mesh.svc", ""},
		{"nothing", "", "", 0, "", "--peers is empty"},
		{"a store too", "a:1,b:1", "redis://r:6379", 0, "", "give one of them"},
		{"no port", "10.0.0.1:18000,10.0.0.2", "", 0, "", `"10.0.0.2" has to be host:port, such as 10.0.0.2:18000`},
		{"an IPv6 without port", "fd00::1", "", 0, "", `"fd00::1" has to be host:port, such as [fd00::1]:18000`},
		{"no host", ":18000", "", 0, "", `such as 10.0.0.1:18000`},
		{"an empty place", "a:1,,b:1", "", 0, "", `"" has to be host:port`},
		{"a port that is a word", "a:xds,b:1", "", 0, "", `"a:xds" has to have a port from 1 to 65535, such as a:18000`},
		{"port 0", "a:0", "", 0, "", "a port from 1 to 65535"},
		{"port too large", "a:65536", "", 0, "", "a port from 1 to 65535"},
		{"twice", "a:1,b:1,a:1", "", 0, "", `"a:1" is there twice`},
		{"twice in two ways", "[::ffff:10.0.0.1]:1,10.0.0.1:01", "", 0, "", "are the same address"},
		{"twice in two cases", "A.:1,a:1", "", 0, "", "are the same address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := serveCommand()
			if err := c.ParseFlags([]string{"--peers", tt.list}); err != nil {
				t.Fatal(err)
			}
			list, err := c.Flags().GetStringSlice("peers")
			if err != nil {
				t.Fatal(err)
			}
			got, err := readsPeers(true, list, tt.store)
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) {
					t.Errorf("got %v, want an error that says %q", err, tt.problem)
				}
				return
			}
			if err != nil || len(got.List) != tt.listed || got.Name != tt.named {
				t.Errorf("got %+v, %v; want %d addresses and the name %q", got, err, tt.listed, tt.named)
			}
		})
	}
	if got, err := readsPeers(false, nil, "redis://r:6379"); err != nil || got.Given() {
		t.Errorf("without the flag: %+v, %v; want none", got, err)
	}
}
