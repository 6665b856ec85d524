package wire

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRunning shows that the tag of a log entry is read, and that no other text is.
func TestRunning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id, ms := rapid.Uint64().Draw(t, "id"), rapid.Uint64Range(0, 1<<40-1).Draw(t, "ms")
		connection, lasted, ok := Running(fmt.Appendf(nil, "%d/%d", id, ms))
		if connection != id || lasted != time.Duration(ms)*time.Millisecond || !ok {
			t.Errorf("got %d, %s, %t", connection, lasted, ok)
		}
	})
	for _, bad := range []string{"", "/", "1", "1/", "/1", "1/2/3", "-1/2", "1/-2", "1/1.5", "18446744073709551616/1", "1/1099511627776"} {
		if connection, lasted, ok := Running(bad); connection != 0 || lasted != 0 || ok {
			t.Errorf("%q was read as %d, %s", bad, connection, lasted)
		}
	}
}
