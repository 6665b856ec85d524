# Run `make` to see the targets. All of them work from a fresh clone with go, git, make, and
# python3 with pip (or an Envoy and a Valkey of your own, see `make tools`). What the tests need besides is
# in scripts/ci-packages.sh, which installs it or says what is missing.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help tools build test check demo demo-replicas example-shop bench bench-envoy bench-fleet bench-replicas bench-shop fuzz soak fmt update-goldens clean

# What `breakwater --version` prints: the nearest tag, or the commit, or "dev" outside git.
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# How long `make fuzz` runs each fuzz target.
FUZZTIME ?= 60s
# How long each test of `make soak` sends traffic.
SOAK     ?= 10m

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

tools: ## find the Envoy and the Valkey that tests and the demo run ($ENVOY, $VALKEY_SERVER, then PATH), or get the pinned ones into .tools/
	@scripts/get-envoy.sh
	@scripts/get-valkey.sh

build: ## build bin/breakwater, a static binary
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/breakwater ./cmd/controlplane

test: packages tools build ## run all tests of all modules under the race detector
	@scripts/test.sh

.PHONY: packages
packages:
	@scripts/ci-packages.sh

check: packages tools ## what CI runs after the tests: format, vet, lint, go.mod, manifests, alerts, dashboard, goldens, fuzz, clean tree
	@scripts/check.sh

demo: tools build ## watch a breaker open, probe and close in front of a failing service
	go build -o bin/quickstart ./examples/quickstart
	@exec bin/quickstart

demo-replicas: tools build ## watch three control planes share breakers, while one is killed and their store is cut off
	go build -o bin/demo-replicas ./examples/replicas
	@exec bin/demo-replicas

example-shop: tools build build-shop ## break what a service depends on, one after the other, and see what its callers get
	cd examples/shop && go build -o ../../bin/shop-demo ./demo
	@exec bin/shop-demo

.PHONY: build-shop
build-shop:
	cd examples/shop && go build -o ../../bin/shop .

bench: ## measure the engine side by side with its peers, and what many breakers cost (some minutes)
	@cd bench && go run .

# An older bin/breakwater to measure in the same run, for bench-envoy and bench-fleet: make bench-fleet BEFORE=/path/to/breakwater
BEFORE ?=

bench-envoy: tools build ## measure breakers in front of real Envoys: cost, reaction, half-open, size (some ten minutes)
	@ENVOY="$$(scripts/get-envoy.sh --path)" && cd bench && go build -o ../bin/bench-envoy ./envoy && \
		exec ../bin/bench-envoy -breakwater ../bin/breakwater -envoy "$$ENVOY" -before '$(BEFORE)'

bench-fleet: build ## measure the control plane in front of 1,000 simulated proxies, beside go-control-plane (some fifteen minutes)
	@cd bench && go build -o ../bin/bench-fleet ./fleet && exec ../bin/bench-fleet -breakwater ../bin/breakwater -before '$(BEFORE)'

bench-replicas: tools build ## measure what three replicas that share breakers cost beside one, and takeovers, with real Envoys and a Valkey (some ten minutes)
	@ENVOY="$$(scripts/get-envoy.sh --path)" && VALKEY_SERVER="$$(scripts/get-valkey.sh --path)" && cd bench && go build -o ../bin/bench-replicas ./replicas && \
		exec ../bin/bench-replicas -breakwater ../bin/breakwater -envoy "$$ENVOY" -valkey "$$VALKEY_SERVER"

bench-shop: tools build build-shop ## measure what callers of the shop get, with breakers and without (some ten minutes)
	cd examples/shop && go build -o ../../bin/shop-bench ./bench
	@exec bin/shop-bench

fuzz: ## run every fuzz target for FUZZTIME (60s)
	@scripts/fuzz.sh $(FUZZTIME)

soak: packages tools ## for SOAK (10m) each, healthy traffic of every kind, which must open no breaker, and a policy that changes all the time
	@ENVOY="$$(scripts/get-envoy.sh --path)" go test -race -count=1 -timeout 0 -v -parallel 1 \
		-run '^(TestHealthyTrafficNeverOpens|TestPolicyThatChangesAllTheTime)$$' ./internal/e2e -healthy $(SOAK) -churn $(SOAK)

fmt: ## format all Go files
	gofmt -w .

update-goldens: tools ## rewrite golden files with what the code gives now; read the diff before you commit it
	@scripts/update-goldens.sh

clean: ## remove what was built; .tools/ stays
	rm -rf bin
