#!/usr/bin/env bash
# The policy of this folder in every language: fetches the tools, builds the components, says what it skipped.
#
#   build.sh fetch [LANGUAGE...]   fetches the tools of these languages (default: all) in the versions pinned
#                                  in each folder, into target/policies/tools; nothing else is installed
#   build.sh build [LANGUAGE...]   builds with the tools that are there, and writes for each language one of
#                                      built LANGUAGE FILE
#                                      skipped LANGUAGE: REASON
#                                  A component is built anew only when what it is made of has changed.
#   build.sh [LANGUAGE...]         both
#
# A language that cannot be fetched or whose tools are missing is skipped; one that doesn't compile is an error.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "${CARGO_TARGET_DIR:-$root/target}/policies"
out=$(cd "${CARGO_TARGET_DIR:-$root/target}/policies" && pwd)
tools=$out/tools
wit=$root/wit/v0.2.0

note() { printf '%s\n' "$*" >&2; }

have() { command -v "$1" >/dev/null; }

# What a language's components are made of, as one digest. The name of the tool folder is of no matter.
digest() {
    (cd "$root" && find "wit/v0.2.0" guest-sdk plugins/componentize "examples/policies/$1" -type f \
        -not -path '*/target/*' -not -path '*/build/*' -not -path '*/node_modules/*' -not -path '*/__pycache__/*' -not -name '*.md' \
        -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1)
}

# A virtual environment of its own for each requirements file.
fetch_python_tools() {
    local name=$1 requirements=$2
    local stamp=$tools/$name/fetched
    if cmp -s "$requirements" "$stamp"; then return; fi
    if ! have python3; then
        note "$name: python3 is missing"
        return
    fi
    note "$name: fetching $(tr '\n' ' ' <"$requirements")"
    rm -rf "${tools:?}/$name"
    if python3 -m venv "$tools/$name" >&2 &&
        "$tools/$name/bin/pip" install --quiet --disable-pip-version-check --retries 1 -r "$requirements" >&2; then
        cp "$requirements" "$stamp"
    else
        note "$name: the packages could not be fetched"
        rm -rf "${tools:?}/$name"
    fi
}

fetch_node_tools() {
    local stamp=$tools/node/fetched
    if cmp -s "$here/javascript/package.json" "$stamp"; then return; fi
    if ! have npm; then
        note "javascript: npm is missing"
        return
    fi
    note "javascript: fetching what javascript/package.json names"
    rm -rf "$tools/node" && mkdir -p "$tools/node"
    cp "$here/javascript/package.json" "$tools/node"
    # Without a lock: npm leaves the packages of other platforms out of the ones it writes, and then refuses them.
    if (cd "$tools/node" && npm install --no-package-lock --no-audit --no-fund --fetch-retries 1 >&2); then
        cp "$here/javascript/package.json" "$stamp"
    else
        note "javascript: the packages could not be fetched"
        rm -rf "$tools/node"
    fi
}

fetch() {
    case $1 in
        rust) ;;
        c | zig) fetch_python_tools zig "$here/$1/requirements.txt" ;;
        python) fetch_python_tools componentize-py "$here/python/requirements.txt" ;;
        javascript) fetch_node_tools ;;
    esac
}

# Why a language cannot be built here; nothing when it can.
missing() {
    case $1 in
        rust)
            have cargo || echo "cargo is missing"
            ;;
        c | zig)
            have make || echo "make is missing"
            [ -e "$tools/zig/fetched" ] || echo "ziglang was not fetched (examples/policies/build.sh fetch $1)"
            ;;
        python)
            [ -e "$tools/componentize-py/fetched" ] ||
                echo "componentize-py was not fetched (examples/policies/build.sh fetch python)"
            ;;
        javascript)
            have node || echo "node is missing"
            [ -e "$tools/node/fetched" ] ||
                echo "componentize-js was not fetched (examples/policies/build.sh fetch javascript)"
            ;;
    esac
}

# Bindings for C and `component new`; the suite names the binary that was built with it.
componentize() {
    if [ -n "${MORTISE_COMPONENTIZE:-}" ]; then
        echo "$MORTISE_COMPONENTIZE"
    else
        echo "cargo run --quiet --manifest-path $root/plugins/componentize/Cargo.toml --"
    fi
}

build() {
    local language=$1 into=$out/build/$1
    mkdir -p "$into"
    case $language in
        rust)
            # The suite names the folder where the shipped plugins were built, with the same dependencies.
            local cargo=${MORTISE_GUESTS:-$out/build/cargo}
            (cd "$here/rust" && cargo build --release --locked --quiet --target wasm32-unknown-unknown \
                --target-dir "$cargo")
            $(componentize) new "$cargo/wasm32-unknown-unknown/release/size_tiered_rust.wasm" \
                "$into/size-tiered.wasm"
            ;;
        c | zig)
            make --silent -C "$here/$language" OUT="$into" WIT="$wit" COMPONENTIZE="$(componentize)" \
                ZIG="$tools/zig/bin/python -m ziglang"
            ;;
        python)
            (cd "$here/python" && "$tools/componentize-py/bin/componentize-py" -d "$wit" -w compaction-strategy \
                componentize --stub-wasi plugin -o "$into/size-tiered.wasm")
            ;;
        javascript)
            # The packages lie beside the sources for whoever builds by hand, and in the cache here.
            (cd "$here/javascript" && "$tools/node/node_modules/.bin/componentize-js" plugin.js --wit "$wit" \
                --world-name compaction-strategy -d stdio -d random -d clocks -d http -d fetch-event \
                -o "$into/size-tiered.wasm")
            ;;
    esac
}

build_if_changed() {
    local language=$1 why digest
    why=$(missing "$language" | head -n 1)
    if [ -n "$why" ]; then
        echo "skipped $language: $why"
        return
    fi
    digest=$(digest "$language")
    local component=$out/$language.wasm stamp=$out/$language.digest
    if [ ! -e "$component" ] || [ "$(cat "$stamp" 2>/dev/null)" != "$digest" ]; then
        note "building $language"
        # An error ends the script; the stamp of what was built before must not outlive it.
        rm -f "$stamp"
        build "$language" >&2
        cp "$out/build/$language/size-tiered.wasm" "$component"
        echo "$digest" >"$stamp"
    fi
    echo "built $language $component"
}

action=both
case ${1:-} in
    fetch | build)
        action=$1
        shift
        ;;
    -h | --help | help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
        exit
        ;;
esac
languages=("$@")
if [ ${#languages[@]} -eq 0 ]; then languages=(rust c zig python javascript); fi
for language in "${languages[@]}"; do
    case $language in
        rust | c | zig | python | javascript) ;;
        *)
            note "error: no policy in $language; expected rust, c, zig, python or javascript"
            exit 2
            ;;
    esac
    if [ $action != build ]; then fetch "$language"; fi
    if [ $action != fetch ]; then build_if_changed "$language"; fi
done
