#!/usr/bin/env bash
# Rewrites all golden files with what the code gives now.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ENVOY=$(scripts/get-envoy.sh --path) # one that is too old is passed over
export ENVOY
packages=$(scripts/golden-packages.sh)
# shellcheck disable=SC2086 # one word per package
go test -count=1 -timeout 15m $packages -update

# The one generated manifest. With -race, as in make test, so that it is not built once more.
cd internal/deploytest
go test -race -count=1 -run '^TestSidecarBootstrap$' . -update
