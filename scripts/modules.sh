#!/usr/bin/env bash
# Prints the directory of every Go module of this repository, the main one first.
# The others are modules of their own so that what they need is not needed by users.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
find . \( -path '*/.*' -o -name testdata \) -prune -o -name go.mod -print | sed 's|/go.mod$||' | LC_ALL=C sort
