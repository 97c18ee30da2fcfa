#!/bin/sh
# Says for each program named that it holds no name of a fault point, and fails when one does.
# The names are those of host/kernel/src/seams/fault.rs; FAILPOINTS is the variable that would arm them.
set -eu
here=$(dirname "$0")
names=$(sed -n 's/^    [A-Z][A-Za-z]* = "\([a-z-]*\)",$/\1/p' "$here/../host/kernel/src/seams/fault.rs")
count=$(printf '%s\n' "$names" | wc -l)
for program in "$@"; do
    if [ ! -f "$program" ]; then
        echo "$program: expected a program to search for fault points, found none; build it first" >&2
        exit 2
    fi
    found=$(printf '%s\nFAILPOINTS\n' "$names" | LC_ALL=C grep -aoF -f - -- "$program" | sort -u | head -n 3) || true
    if [ -n "$found" ]; then
        echo "$program: holds" $found "- a program to ship is built without the feature fault-points" >&2
        exit 1
    fi
    echo "$program: checked, none of the names of $count fault points is in it"
done
