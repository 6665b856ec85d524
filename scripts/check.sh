#!/usr/bin/env bash
# What CI runs after `make test`. That one has the race detector on for every test,
# so nothing here runs the tests under it again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '==> %s\n' "$*"; }
fail() {
	printf 'FAIL: %s\n' "$*" >&2
	exit 1
}

# in_modules runs a command in every module of the repository.
in_modules() {
	local module
	for module in $(scripts/modules.sh); do
		(cd "$module" && "$@") || fail "$* in module $module"
	done
}

# contents prints the hash of every file that git has or would add. Equal before
# and after means that nothing was written, also in a tree with uncommitted work.
contents() {
	git ls-files --cached --others --exclude-standard | LC_ALL=C sort -u | while IFS= read -r file; do
		if [[ -f $file ]]; then echo "$file"; fi
	done >"$scratch/names"
	git hash-object --stdin-paths <"$scratch/names" >"$scratch/hashes"
	paste "$scratch/hashes" "$scratch/names"
}

# unchanged fails, and shows the difference, when files are not what they were.
unchanged() {
	contents >"$scratch/after"
	if ! diff "$scratch/before" "$scratch/after" >"$scratch/changed"; then
		sed -nE 's|^> [0-9a-f]+\t|  |p; s|^< [0-9a-f]+\t|  |p' "$scratch/changed" | sort -u >&2
		git --no-pager diff >&2
		fail "$1"
	fi
}

staticcheck=$PWD/scripts/tools.mod
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
contents >"$scratch/before"

step "gofmt"
unformatted=$(gofmt -l .)
[[ -z $unformatted ]] || fail "not formatted; run make fmt: $unformatted"

step "bash -n: the scripts parse"
for script in .ci/run scripts/*.sh deploy/*/*.sh; do
	bash -n "$script"
done

step "go vet"
in_modules go vet ./...

step "staticcheck, version of scripts/tools.mod"
go build -modfile "$staticcheck" -o "$scratch/staticcheck" honnef.co/go/tools/cmd/staticcheck
in_modules "$scratch/staticcheck" ./...

step "go mod tidy: go.mod and go.sum are what the imports need"
in_modules go mod tidy -diff

step "manifests: their schemas, and what they say of one another"
(cd internal/deploytest && go test -count=1 .) || fail "the manifests in deploy/k8s"

step "dashboard: every query, against a real Prometheus"
(cd examples/shop && go test -count=1 -run '^TestDashboard$' ./stand) || fail "deploy/grafana/breakwater.json"

step "alerts: their cases, with promtool"
promtool check config --syntax-only deploy/prometheus/prometheus.yaml >"$scratch/promtool" || fail "$(cat "$scratch/promtool")"
(cd deploy/prometheus && promtool test rules rules_test.yaml) >"$scratch/promtool" 2>&1 || fail "$(cat "$scratch/promtool")"

step "goldens: rewriting them changes nothing"
scripts/update-goldens.sh
unchanged "golden files are not what the code gives; run make update-goldens and read the diff"

step "the engine against its model: 20,000 random histories"
go test ./breaker -run '^TestEngineIsItsModel$' -rapid.checks=2000

step "replicas against their model: 7,500 random histories"
go test ./peers -run 'ShareBreakers$|StayOpen$' -rapid.checks=2500

step "messages between replicas: their code is what protoc makes of them"
scripts/generate.sh --check || fail "run scripts/generate.sh"

step "fuzz, 10 s a target"
scripts/fuzz.sh 10s

step "the tree is as it was"
unchanged "the checks changed files of the tree"
step "all checks pass"
