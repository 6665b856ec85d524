package processes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStopFrozen shows that a frozen program ends when it is asked to, and is not killed.
func TestStopFrozen(t *testing.T) {
	p, err := Launch(t.TempDir(), Command{Name: "sleeper", Path: "sleep", Args: []string{"600"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
}

// TestFind shows where programs are looked for, and the error where there is none.
func TestFind(t *testing.T) {
	tools, path := t.TempDir(), t.TempDir()
	t.Setenv("PATH", path)
	for _, tt := range []struct {
		variable, file string
		find           func(string) (string, error)
	}{{"ENVOY", "envoy", FindEnvoy}, {"VALKEY_SERVER", "valkey-server", FindValkey}} {
		t.Setenv(tt.variable, "")
		if _, err := tt.find(tools); err == nil || !strings.Contains(err.Error(), tt.file+"; `make tools` gets one") {
			t.Errorf("%s: got error %v", tt.file, err)
		}
		for _, dir := range []string{tools, path} { // the second one goes before the first
			want := filepath.Join(dir, tt.file)
			if err := os.WriteFile(want, nil, 0o755); err != nil {
				t.Fatal(err)
			}
			if got, err := tt.find(tools); err != nil || got != want {
				t.Errorf("got %q and error %v, want %q", got, err, want)
			}
		}
		t.Setenv(tt.variable, "/given")
		if got, err := tt.find(tools); err != nil || got != "/given" {
			t.Errorf("got %q and error %v, want /given", got, err)
		}
	}
}
