#!/usr/bin/env bash
# Makes the Go code of the messages between replicas from peers/internal/peerspb/peers.proto. It needs protoc (Debian:
# protobuf-compiler); the plugins are those of scripts/tools.mod. With --check it changes nothing, and fails where the code
# is not what it would make.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v protoc >/dev/null || {
	echo 'protoc is not installed; on Debian: sudo apt-get install protobuf-compiler' >&2
	exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/out"
go build -modfile scripts/tools.mod -o "$work/bin/" google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
PATH="$work/bin:$PATH" protoc --go_out="$work/out" --go_opt=module=breakwater.dev --go-grpc_out="$work/out" --go-grpc_opt=module=breakwater.dev \
	peers/internal/peerspb/peers.proto
made=$work/out/peers/internal/peerspb
if [[ ${1:-} == --check ]]; then
	for file in peers.pb.go peers_grpc.pb.go; do
		diff -u -I '^//.*protoc' "$made/$file" "peers/internal/peerspb/$file" # whatever version of protoc it was
	done
	exit
fi
cp "$made"/*.go peers/internal/peerspb/
