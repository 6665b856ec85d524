#!/usr/bin/env bash
# Runs every fuzz target of the main module for the given time each, such as 10s.
# Targets are found in the source, so that a new one needs no entry anywhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
readonly duration=${1:?usage: fuzz.sh DURATION}

# One "package target" a line.
targets=$(find . \( -path '*/.*' -o -name testdata \) -prune -o -name '*_test.go' \
	-exec grep -EHo '^func Fuzz[A-Za-z0-9_]*\(' {} + |
	sed -E 's|^(.*)/[^/]*:func (.*)\($|\1 \2|' | LC_ALL=C sort) || true
if [[ -z $targets ]]; then
	echo 'no fuzz target found' >&2
	exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
while read -r package target; do
	printf 'fuzz %s %s for %s\n' "$package" "$target" "$duration"
	if go test -run '^$' -fuzz "^$target\$" -fuzzminimizetime 20x -fuzztime "$duration" "$package" >"$log" 2>&1 </dev/null; then
		continue
	fi
	# Until Go 1.27 a target may fail at the very end of its time with this message
	# and nothing else (golang.org/issue/75804). A real failure names its input.
	if grep -qx ' *context deadline exceeded' "$log" && ! grep -Eqi 'failing input|seed corpus entry|panic' "$log"; then
		continue
	fi
	cat "$log" >&2
	exit 1
done <<<"$targets"
