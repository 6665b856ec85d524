#!/usr/bin/env bash
# Prints the tests that compare with golden files: of each, its package and its name.
# Fails on a call of golden.Run that is not in a test's own function, for such a test
# would not be found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
git ls-files -z '*_test.go' | xargs -0 awk '
	/^func / { name = $2; sub(/\(.*/, "", name) }
	/golden\.Run\(/ {
		if (name !~ /^Test/) {
			printf "%s:%d: golden.Run is called by %s, which is not a test\n", FILENAME, FNR, name >"/dev/stderr"
			bad = 1
		}
		dir = FILENAME
		sub(/\/[^\/]*$/, "", dir)
		print "./" dir, name
		n++
	}
	END { exit bad || n == 0 }
'
