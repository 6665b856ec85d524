package lockorder

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// endsProcess is violated as programs have it. All other tests of this package get a panic instead, which they can recover.
var endsProcess = violated

func init() { violated = func(message string) { panic(message) } }

// TestWrongOrderEndsTheProcess runs itself in another process, which recovers panics as servers do. Where the order is not
// checked, that process goes on.
func TestWrongOrderEndsTheProcess(t *testing.T) {
	const variable = "LOCKORDER_TEST_IN_PROCESS"
	if os.Getenv(variable) != "" {
		violated = endsProcess
		fmt.Printf("the process goes on after %q\n", message(func() {
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
	goesOn := strings.Contains(string(output), "the process goes on")
	panics := strings.Contains(string(output), "panic: lockorder: DiscoveryStream is taken while DiscoveryLeaf is held")
	if goesOn == checked || panics != checked || (err != nil) != checked {
		t.Errorf("the process ended with %v and wrote %s", err, output)
	}
}
