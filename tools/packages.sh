#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what is missing of the given rooms of packages.txt, and calls apt only then.
#     tools/packages.sh [--try] build test ...        --try: go on without what cannot be had
set -u
PATH=$PATH:/usr/sbin:/sbin
list=$(dirname "$0")/../packages.txt
try=no
[ "${1-}" = --try ] && { try=yes; shift; }

present() { # PROBE
	case $1 in
	cmd:*) command -v "${1#cmd:}" >/dev/null ;;
	file:*) test -e "${1#file:}" ;;
	pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
	fuzzer)
		out=$(mktemp) || return 1
		echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n);
		      int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n ? 0 : 0; }' |
			clang -fsanitize=fuzzer,address -x c - -o "$out" 2>/dev/null
		status=$?
		rm -f "$out"
		return $status ;;
	*) echo "packages.txt: unknown probe '$1'" >&2; exit 2 ;;
	esac
}

missing_of() { # ROOM...
	for room; do
		grep -E "^$room[[:space:]]" "$list" | while read -r _ package probe; do
			present "$probe" || echo "$package"
		done
	done | sort -u | tr '\n' ' '
}

give_up() {
	echo "$1" >&2
	[ $try = yes ] && { echo "Going on without." >&2; exit 0; }
	exit 1
}

missing=$(missing_of "$@")
[ -z "$missing" ] && exit 0

command -v apt-get >/dev/null ||
	give_up "Missing: ${missing}(Debian's names); please install them with this system's package manager."
root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null ||
		give_up "Missing: ${missing}- please run as root: apt-get install $missing"
	root=sudo
fi
apt() {
	$root env DEBIAN_FRONTEND=noninteractive apt-get -q "$@"
}

echo "Installing: $missing"
known=yes
for package in $missing; do
	apt-cache show "$package" >/dev/null 2>&1 || known=no
done
[ $known = no ] && apt update
# Lists that are there may still be too old for the archive: then one fresh try.
# shellcheck disable=SC2086
apt install -y --no-install-recommends $missing ||
	{ apt update && apt install -y --no-install-recommends $missing; } ||
	give_up "apt-get could not install: $missing"
still=$(missing_of "$@")
[ -z "$still" ] || give_up "Still missing after installing: $still"
