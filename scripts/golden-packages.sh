#!/usr/bin/env bash
# Prints the packages whose tests compare with golden files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
go list -f '{{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}' ./... |
	awk '/ breakwater\.dev\/internal\/golden( |$)/ { print $1; n++ } END { exit n == 0 }' || {
	echo 'no package uses internal/golden' >&2
	exit 1
}
