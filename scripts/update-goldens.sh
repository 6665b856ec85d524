#!/usr/bin/env bash
# Rewrites all golden files with what the code gives now.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ENVOY=$(scripts/get-envoy.sh --path) # one that is too old is passed over
export ENVOY
tests=$(scripts/golden-tests.sh)
packages=$(cut -d' ' -f1 <<<"$tests" | sort -u)
names=$(cut -d' ' -f2 <<<"$tests" | paste -sd'|')
# With -race, as in make test, so that the tests are not built once more.
# shellcheck disable=SC2086 # one word per package
go test -race -count=1 -timeout 15m -run "^($names)\$" $packages -update

# The one generated manifest.
cd internal/deploytest
go test -race -count=1 -run '^TestSidecarBootstrap$' . -update
