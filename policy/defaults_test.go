package policy_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"breakwater.dev/policy"
)

func TestDefaultsFromEnv(t *testing.T) {
	env := func(pairs ...string) func(string) (string, bool) {
		return func(name string) (string, bool) {
			for i := 0; i < len(pairs); i += 2 {
				if "CIRCUIT_BREAKER_"+pairs[i] == name {
					return pairs[i+1], true
				}
			}
			return "", false
		}
	}
	d, ds := policy.DefaultsFromEnv(env())
	if diff := cmp.Diff(policy.BuiltinDefaults(), d); diff != "" || len(ds) > 0 {
		t.Errorf("an empty environment: %v\n%s", ds, diff)
	}

	d, ds = policy.DefaultsFromEnv(env("FAILURE_THRESHOLD", "7", "RECOVERY_TIMEOUT_SECONDS", "0.25",
		"TIMEOUT_SECONDS", "0", "SUCCESS_THRESHOLD", "1"))
	got := fmt.Sprint(d.Breaker.ConsecutiveFailures, d.Breaker.WaitDurationInOpenState, d.Timeout, d.Breaker.SuccessThreshold, ds)
	if want := "7 250ms 0s 1 "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}

	_, ds = policy.DefaultsFromEnv(env("FAILURE_THRESHOLD", "five", "RECOVERY_TIMEOUT_SECONDS", "30s",
		"TIMEOUT_SECONDS", "", "SUCCESS_THRESHOLD", "0"))
	const want = `environment: CIRCUIT_BREAKER_FAILURE_THRESHOLD = "five"; must be a number from 0 to 1000000 [bad-number]
environment: CIRCUIT_BREAKER_RECOVERY_TIMEOUT_SECONDS = "30s"; must be a number of seconds from 0.001 to 86400 [bad-seconds]
environment: CIRCUIT_BREAKER_SUCCESS_THRESHOLD = "0"; must be a number from 1 to 1000000 [bad-number]
environment: CIRCUIT_BREAKER_TIMEOUT_SECONDS = ""; must be a number of seconds from 0 to 86400 [bad-seconds]`
	if diff := cmp.Diff(want, ds.Error()); diff != "" {
		t.Errorf("diagnostics differ (-want +got):\n%s", diff)
	}
}
