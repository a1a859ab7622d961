#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the fuzz targets in a build directory of their own and runs each of them for a while.
#   tests/fuzz/run.sh [--runs N | --seconds N]      default: --runs 20000
# Each begins with one input of every kind and draws the same numbers (-seed=1). Ends with 1 if a
# target crashed or hung; what did it is kept in build-fuzz/. Without clang it ends with 77, a skip.
set -eu

usage() {
	echo "usage: tests/fuzz/run.sh [--runs N | --seconds N]" >&2
	exit 2
}

limit=-runs=20000
if [ $# -gt 0 ]; then
	[ $# -eq 2 ] || usage
	case $2 in '' | *[!0-9]*) usage ;; esac
	case $1 in
	--runs) limit=-runs=$2 ;;
	--seconds) limit=-max_total_time=$2 ;;
	*) usage ;;
	esac
fi

cd "$(dirname "$0")/../.."
if ! command -v clang >/dev/null; then
	echo "skipped: there is no clang here (Debian: clang, libclang-rt-14-dev)"
	exit 77
fi
if ! echo 'int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void) { return 0; }' |
	clang -fsanitize=fuzzer,address,undefined -x c - -o /dev/null 2>/dev/null; then
	echo "skipped: this clang has no libFuzzer (Debian: libclang-rt-14-dev)"
	exit 77
fi

build=build-fuzz
[ -f $build/build.ninja ] || CC=clang meson setup $build -Dfuzz=true -Db_lundef=false >/dev/null
targets="message frame values trace scenario"
programs=
for target in $targets; do
	programs="$programs tests/fuzz/fuzz-$target"
done
# shellcheck disable=SC2086 # words
ninja -C $build -j2 $programs >/dev/null || {
	# shellcheck disable=SC2086
	ninja -C $build -j1 $programs
	exit 1
}

# seed TARGET NAME BYTES...: an input, in printf's octal. Its first byte, 3, says: 131072 pages, and a
# header that fits; the second is the kind.
seed() {
	printf "\\003$3" >"$build/seeds-$1/$2"
}

for target in $targets; do
	rm -rf $build/seeds-"$target"
	mkdir $build/seeds-"$target"
done
for kind in 3 4 5 6 7 10 14 16 17 20 21 23 24 25 26 27; do # those with a body
	seed message $kind "\\$kind\\001\\000\\000\\000\\000\\000\\000\\000\\000"
done
for kind in 11 12 13 15 22; do
	seed message $kind "\\$kind"
done
seed message hello "\\001godwit\\r\\n\\001\\000\\000\\000\\001\\000\\000\\000"
seed message offer "\\002\\000\\000\\000\\000\\002\\000\\000\\000\\000\\000\\001\\000\\000\\000\\000\\000\
\\003\\000\\000\\000\\002\\000\\000\\000web{}"
for kind in 1 2; do
	seed frame $kind "\\$kind\\000\\000\\000\\000\\000\\000\\000\\000\\001\\000\\000\\000"
done
for kind in 3 4 5; do
	seed frame $kind "\\$kind"
done

# Pages 1-4 and 7, then (the second byte says where) a window that wrote 5 and read 9-10.
printf '\0\004\001\003\001\000\000\100\001\012\144\001\005\000\001\011\001' \
	>$build/seeds-trace/window

cp examples/*.json $build/seeds-scenario/

status=0
printf 12.5MB/s >$build/seeds-values/rate
for target in $targets; do
	log=$build/fuzz-$target.log
	if $build/tests/fuzz/fuzz-$target -seed=1 -use_value_profile=1 -len_control=0 "$limit" \
		-timeout=10 -artifact_prefix=$build/fuzz-$target- $build/seeds-$target >$log 2>&1; then
		grep "^$target:" $log || echo "$target: nothing found"
	else
		tail -n 40 $log >&2
		echo "fuzz-$target failed; its input, if one did it, is $build/fuzz-$target-*" >&2
		status=1
	fi
done
exit $status
