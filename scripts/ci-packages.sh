#!/usr/bin/env bash
# Installs what the build and the tests need from the system, on Debian and its
# kin, where it may: as root. Says what is missing where it may not, and does nothing at all
# where everything is there.
set -euo pipefail

missing=()
need() { # need COMMAND PACKAGE...
	command -v "$1" >/dev/null || missing+=("${@:2}")
}
need git git
need make make
need gcc gcc libc6-dev # the race detector links with cgo
need flock util-linux
need redis-server redis-server # store/shared, examples/shop
need prometheus prometheus # deploy/prometheus, deploy/grafana
if ! compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null; then missing+=(postgresql); fi
need openssl openssl # deploy/k8s/certificates.sh
need curl curl # the README
need protoc protobuf-compiler # scripts/generate.sh
need python3 python3 python3-pip
if ! python3 -m pip --version >/dev/null 2>&1; then missing+=(python3-pip); fi

command -v go >/dev/null || {
	echo 'go is not installed; see https://go.dev/doc/install for the version in go.mod' >&2
	exit 1
}
if ((${#missing[@]} == 0)); then exit; fi

if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
	echo "the tests need what is not there; on Debian: sudo apt-get install ${missing[*]}" >&2
	exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
