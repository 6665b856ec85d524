#!/usr/bin/env bash
# Rewrites all golden files with what the code gives now, and the manifests that tests write.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ENVOY=$(scripts/get-envoy.sh --path) # one that is too old is passed over
export ENVOY
tests=$(scripts/golden-tests.sh)
for module in $(cut -d' ' -f1 <<<"$tests" | sort -u); do
	packages=$(awk -v module="$module" '$1 == module { print $2 }' <<<"$tests" | sort -u)
	names=$(awk -v module="$module" '$1 == module { print $3 }' <<<"$tests" | sort -u | paste -sd'|')
	# With -race, as in make test, so that the tests are not built once more.
	# shellcheck disable=SC2086 # one word per package
	(cd "$module" && go test -race -count=1 -timeout 15m -run "^($names)\$" $packages -update)
done
