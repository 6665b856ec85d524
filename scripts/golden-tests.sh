#!/usr/bin/env bash
# Prints the tests that can rewrite files with -update: of each, its module, its package and
# its name. They call golden.Run, or look at the flag themselves.
# Fails on a use that is not in a test's own function, for such a test would not be found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
modules=$(scripts/modules.sh | paste -sd" ")
git ls-files -z '*_test.go' | xargs -0 awk -v modules="$modules" '
	BEGIN { count = split(modules, module, " ") }
	FNR == 1 { name = "no function" }
	/^func / { name = $2; sub(/\(.*/, "", name) }
	/golden\.Run\(|flag\.Lookup\("update"\)|[^]A-Za-z0-9_.)]\*update([^A-Za-z0-9_.]|$)/ {
		if (name !~ /^Test/) {
			printf "%s:%d: -update is used by %s, which is not a test\n", FILENAME, FNR, name >"/dev/stderr"
			bad = 1
		}
		dir = "./" FILENAME
		sub(/\/[^\/]*$/, "", dir)
		home = "."
		for (i = 1; i <= count; i++)
			if (length(module[i]) > length(home) && index(dir "/", module[i] "/") == 1)
				home = module[i]
		print home, "." substr(dir, length(home) + 1), name
		n++
	}
	END { exit bad || n == 0 }
'
