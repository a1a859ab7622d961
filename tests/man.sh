#!/bin/sh
# SPDX-License-Identifier: MIT
# The man page is clean, and names every verb and option that the program has.
#     tests/man.sh SOURCE_ROOT GODWIT
set -u
page=$1/docs/godwit.1
failures=0

command -v mandoc >/dev/null || { echo "skipped: mandoc is not installed"; exit 77; }

complain() {
	echo "$1"
	failures=$((failures + 1))
}

lint=$(mandoc -T lint -W warning "$page") || complain "$lint"
text=$(mandoc -T ascii "$page" | sed 's/.\x08//g')
names() { # what the page must name
	"$2" --help | sed -n 's/^  \([a-z][a-z]*\)  *[^ ].*/\1/p'
}
verbs=$(names "$@")
[ -n "$verbs" ] || complain "godwit --help lists no verb"
for verb in $verbs; do
	echo "$text" | grep -q "godwit $verb" || complain "the page lacks the verb $verb"
	for option in $("$2" "$verb" --help | sed -n 's/^  .*\(--[a-z][a-z-]*\).*/\1/p'); do
		echo "$text" | grep -q -- "$option" || complain "the page lacks $verb $option"
	done
done
[ $failures = 0 ] && echo "every verb and option is in the man page"
exit $failures
