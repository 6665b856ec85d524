//go:build race

package lockorder

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// endsProcess is violated as programs have it. All other tests of this package get a panic instead, which they can recover.
var endsProcess = violated

func init() { violated = func(message string) { panic(message) } }

// TestWrongOrderEndsTheProcess runs itself in another process, which recovers panics as servers do.
func TestWrongOrderEndsTheProcess(t *testing.T) {
	const variable = "LOCKORDER_TEST_IN_PROCESS"
	if os.Getenv(variable) != "" {
		violated = endsProcess
		t.Errorf("the process goes on after %q", message(func() {
			var stream Mutex[DiscoveryStream]
			var leaf Mutex[DiscoveryLeaf]
			leaf.Lock()
			stream.Lock()
		}))
		return
	}
	command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	command.Env = append(os.Environ(), variable+"=1")
	output, err := command.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "panic: lockorder: DiscoveryStream is taken while DiscoveryLeaf is held") ||
		strings.Contains(string(output), "the process goes on") {
		t.Errorf("the process ended with %v and wrote %s", err, output)
	}
}
