#!/bin/sh
# Starts a node, loads it, swaps its compaction strategy twice under load, and prints what happened.
# Needs only the built binary: MORTISE=target/release/mortise sh examples/demo.sh
set -eu

mortise=${MORTISE:-target/release/mortise}
total=${DEMO_WRITES:-150000}
work=$(mktemp -d)
node=
load=

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() {
    printf '$ mortise %s\n' "$*"
    "$mortise" "$@"
}

cleanup() {
    if [ -n "$load" ]; then kill "$load" 2>/dev/null || true; fi
    if [ -n "$node" ]; then
        kill "$node" 2>/dev/null || true
        wait "$node" 2>/dev/null || true
    fi
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# Starts the node and waits until its log tells the address; small memtables make compaction visible.
serve() {
    rm -f "$work/log.pipe"
    mkfifo "$work/log.pipe"
    "$mortise" serve --data-dir "$work/data" --listen 127.0.0.1:0 --listen-http 127.0.0.1:0 \
        --memtable-size 2MiB --log-format json 2>"$work/log.pipe" &
    node=$!
    exec 3<"$work/log.pipe"
    address=
    while [ -z "$address" ]; do
        if ! IFS= read -r line <&3; then
            echo "the node ended before it served; its log:" >&2
            cat "$work/log" >&2
            exit 1
        fi
        printf '%s\n' "$line" >>"$work/log"
        address=$(printf '%s' "$line" | sed -n '/"listening"/s/.*"grpc":"\([^"]*\)".*/\1/p')
    done
    # Reading goes on in the background, because the node must be able to write its log.
    cat <&3 >>"$work/log" &
    exec 3<&-
    MORTISE_ENDPOINT=http://$address
    export MORTISE_ENDPOINT
}

say "1. A node with an empty data directory, on ports of the system's choice"
serve
echo "serving at $MORTISE_ENDPOINT"
show kv put greeting hello
show kv get greeting
show plugin list

say "2. 32 clients write $total keys; meanwhile the strategy changes twice"
"$mortise" bench put --clients 32 --total "$total" >"$work/bench.txt" 2>"$work/bench.log" &
load=$!

# Waits until the volume has reached a revision: each look is a call to the node, there is no pause.
reach() {
    while [ "$(revision)" -lt "$1" ]; do
        if ! kill -0 "$load" 2>/dev/null; then
            echo "the load ended early:" >&2
            cat "$work/bench.log" >&2
            exit 1
        fi
    done
}
revision() {
    "$mortise" volume status --output json | tr ',{' '\n\n' | sed -n 's/.*"revision": *\([0-9]*\).*/\1/p' | head -n 1
}

reach $((total / 4))
show plugin use compaction-tiered --volume default
reach $((total / 2))
show plugin use compaction-quiet --volume default
if ! wait "$load"; then
    echo "the load failed:" >&2
    cat "$work/bench.log" >&2
    exit 1
fi
load=

say "3. What the clients saw: no failed write, and these latencies"
cat "$work/bench.txt"

say "4. What the node remembers"
show volume status
show plugin show compaction-quiet
show plugin rollback --volume default

say "5. A graceful stop and a restart on the same directory: data and binding are there"
kill "$node"
wait "$node"
echo "stopped; the data directory holds $(du -sh "$work/data" | cut -f 1)"
serve
show kv get greeting
show volume list
"$mortise" volume status | sed -n '/^strategy/p'
echo "done; everything in $work is removed now"
