#!/bin/sh
# SPDX-License-Identifier: MIT
# core/ is pure: it includes nothing from outside itself but the headers below, calls nothing but
# the functions below, and has no variable that changes.
#     tests/purity.sh SOURCE_ROOT LIBCORE.a       tests/purity.sh --self-test [CC]
set -u
export LC_ALL=C

HEADERS="assert errno float inttypes limits stdalign stdarg stdbool stddef stdint stdio stdlib string"
SYMBOLS="memchr memcmp memcpy memmove memset
	strchr strcmp strcspn strlen strncmp strnlen strrchr strspn strstr
	strtod strtol strtoll strtoul strtoull
	snprintf vsnprintf
	LAPACKE_dgelsy_work"
# What a compiler writes by itself for the above.
COMPILER="_GLOBAL_OFFSET_TABLE_ __stack_chk_fail bcmp __isoc23_strtol __isoc23_strtoll
	__isoc23_strtoul __isoc23_strtoull __memcpy_chk __memmove_chk __memset_chk
	__snprintf_chk __vsnprintf_chk"

lines() {
	echo "$@" | tr -s ' \t' '\n\n' | sort -u
}

bad_includes() { # ROOT
	allowed=$(lines $HEADERS | tr '\n' '|')
	grep -rnE '^[[:space:]]*#[[:space:]]*include' "$1/core" --include='*.[ch]' |
		grep -vE "include[[:space:]]*(\"core/[a-z0-9_/]+\.h\"|<(${allowed%|})\.h>)" |
		sed 's/$/   <- not for core/'
}

bad_symbols() { # LIBCORE
	work=$(mktemp -d) || exit 2
	nm -g --defined-only "$1" | awk 'NF == 3 { print $3 }' | sort -u >"$work/defined"
	lines $SYMBOLS $COMPILER | sort -u - "$work/defined" >"$work/allowed"
	nm -u "$1" | awk '$1 == "U" || $1 == "w" { print $2 }' | sort -u | comm -23 - "$work/allowed" |
		sed 's/^/calls /; s/$/   <- not for core/'
	rm -rf "$work"
}

bad_variables() { # LIBCORE; .data.rel.ro is constant
	size -A "$1" | awk '/:$|ex / { member = $1 }
		$1 ~ /^\.(data|bss|tdata|tbss)(\.|$)/ && $1 !~ /^\.data\.rel\.ro/ && $2 > 0 {
			print member " has " $2 " bytes of " $1 "   <- a variable that changes" }
		$1 ~ /^(COMMON|\*COM\*)$/ && $2 > 0 { print member " has a common variable" }'
}

check() { # ROOT LIBCORE
	found=$(bad_includes "$1"; bad_symbols "$2"; bad_variables "$2")
	[ -z "$found" ] && return 0
	echo "$found"
	return 1
}

# Plants one violation after the other in a copy and sees that each is found, by its name.
self_test() { # CC
	root=$(mktemp -d) || exit 2
	trap 'rm -rf "$root"' EXIT
	mkdir -p "$root/core"
	failures=0
	try() { # NAME CODE WANTED
		printf '%b' "$2" >"$root/core/planted.c"
		rm -f "$root/libcore.a"
		"$1" -w -O1 -fPIC -I"$root" -c "$root/core/planted.c" -o "$root/planted.o" &&
			ar rc "$root/libcore.a" "$root/planted.o" || exit 2
		answer=$(check "$root" "$root/libcore.a")
		status=$?
		case $3 in
		'') [ $status = 0 ] ;;
		*) [ $status = 1 ] && echo "$answer" | grep -q -- "$3" ;;
		esac && return
		echo "self-test: '$2': wanted '$3', got '$answer'"
		failures=$((failures + 1))
	}
	mkdir -p "$root/base"
	: >"$root/base/error.h"
	try "$1" '#include <string.h>\nint f(const char *s) { return (int)strlen(s); }\n' ''
	try "$1" 'static int z(void) { return 0; }\nint (*const t[])(void) = { z };\n' ''
	try "$1" '#include "base/error.h"\n' 'base/error.h'
	try "$1" '#include <time.h>\n' 'time.h'
	try "$1" ' # include <unistd.h>\n' 'unistd.h'
	try "$1" '#include <stdlib.h>\nvoid *f(void) { return malloc(7); }\n' 'calls malloc'
	try "$1" 'long time(long *);\nlong f(void) { return time(0); }\n' 'calls time'
	try "$1" 'int f(void) { static int n; return n++; }\n' 'bytes of .bss'
	try "$1" 'int n = 3;\nint f(void) { return n++; }\n' 'bytes of .data'
	try "$1" 'int f(void) { static __thread int n; return n++; }\n' 'bytes of .tbss'
	[ $failures = 0 ] && echo "purity finds what was planted"
	return $failures
}

case ${1-} in
--self-test) self_test "${2-cc}" ;;
*)
	[ $# = 2 ] && [ -d "$1/core" ] && [ -f "$2" ] || { echo "usage: purity.sh SOURCE_ROOT LIBCORE.a" >&2; exit 2; }
	check "$1" "$2" && echo "core/ is pure" ;;
esac
