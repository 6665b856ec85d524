#!/usr/bin/env bash
# Runs every test of every module under the race detector, all modules even when
# one fails, and ends with a line that says which did. Arguments go to go test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ENVOY=$(scripts/get-envoy.sh --path) # one that is too old is passed over
VALKEY_SERVER=$(scripts/get-valkey.sh --path)
export ENVOY VALKEY_SERVER

passed=0 failed=()
for module in $(scripts/modules.sh); do
	printf '==> go test -race, module %s\n' "$module"
	if (cd "$module" && go test -race -count=1 -timeout 15m "$@" ./...); then
		passed=$((passed + 1))
	else
		failed+=("$module")
	fi
done
if ((${#failed[@]})); then
	printf 'FAIL: tests failed in module %s\n' "${failed[@]}" >&2
	exit 1
fi
printf '==> the tests of all %d modules pass\n' "$passed"
