// Package envoybin finds the Envoy that tests run.
//
// In: $ENVOY, the PATH, and .tools/envoy, in this order.
// Out: the path of a binary.
// Called by: tests that need a real Envoy.
// Never: skips a test; where there is no Envoy, the test fails and says how to get one.
// Concurrency: Path may be called by several tests at once.
package envoybin

import (
	"testing"

	"breakwater.dev/internal/toolbin"
)

// Path returns the absolute path of an Envoy binary, or fails the test.
func Path(t testing.TB) string {
	t.Helper()
	return toolbin.Tool{Name: "Envoy", Variable: "ENVOY", File: "envoy", Get: "make tools"}.Path(t)
}
