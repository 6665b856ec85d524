package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rendered returns what render prints for a policy with these fields in its spec.
func rendered(t *testing.T, fields string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	text := "apiVersion: breakwater.dev/v1alpha1\nkind: Upstream\nmetadata: {name: payments}\nspec: {endpoints: [{address: 10.0.0.1, port: 80}]}\n---\n" +
		"apiVersion: breakwater.dev/v1alpha1\nkind: BreakerPolicy\nmetadata: {name: payments}\nspec:\n  targetRefs: [{kind: Upstream, name: payments}]\n  " + fields + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	if code := run([]string{"render", "--policy", file}, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	return stdout.String()
}

// TestRenderIsNoDiff: settings that only the control plane uses are not in the output of render, and its help says so.
func TestRenderIsNoDiff(t *testing.T) {
	before := rendered(t, "scope: Mesh")
	for _, fields := range []string{
		"breaker: {consecutiveFailures: 7}", "breaker: {failureRateThreshold: 60%}", "breaker: {minimumNumberOfCalls: 20}",
		"breaker: {slidingWindow: {type: TimeBased, duration: 20s}}", "breaker: {slowCallRateThreshold: 50%}", "breaker: {waitDurationInOpenState: 31s}",
		"breaker: {backoff: {multiplier: 2}}", "breaker: {permittedNumberOfCallsInHalfOpenState: 4}", "breaker: {successThreshold: 4}", "breaker: {ramp: {duration: 9s}}",
	} {
		if rendered(t, fields) != before {
			t.Errorf("%s changes the output; the help of render says that it does not", fields)
		}
	}
	if rendered(t, "timeout: 11s") == before {
		t.Error("another timeout does not change the output")
	}
	var stdout, stderr bytes.Buffer
	run([]string{"render", "--help"}, &stdout, &stderr)
	help := strings.Join(strings.Fields(stdout.String()), " ")
	if !strings.Contains(help, "Thresholds, rates and waits of a breaker are used in the control plane and never sent") || strings.Contains(help, "can be compared") {
		t.Errorf("the help of render recommends it for comparing, or does not say what it leaves out:\n%s", help)
	}
}
