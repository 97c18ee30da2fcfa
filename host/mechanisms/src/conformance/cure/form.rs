//! Cures for what a file is: its form, its world, its contract, its imports.
//!
//! What the file shows of its origin (its first bytes, its language, the names that it exports) chooses the
//! text; where that shows nothing, the text is a general one. The texts are parts of a message that has named
//! the reason already, so they don't repeat it and end without a full stop. Nothing is decided here.

use mortise_plugin_runtime::{Form, Language, Origin};

pub(super) fn not_wasm(bytes: &[u8]) -> &'static str {
    match bytes {
        [] => "the file is empty: did the build fail?",
        // It begins with the same byte as the text format.
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "the file is compressed: unpack it with `unzstd` first",
        [b'(', ..] => {
            "the file is the text format: `wasm-tools parse FILE -o plugin.wasm` turns it into binary"
        }
        [0x1f, 0x8b, ..] => "the file is compressed: unpack it with `gunzip` first",
        [b'P', b'K', ..] => "the file is a zip archive: unpack it first",
        [0x7f, b'E', b'L', b'F', ..] => {
            "the file is a program for this machine: compile for WebAssembly, in Rust with `--target \
             wasm32-unknown-unknown`"
        }
        [b'!', b'<', ..] => "the file is a static library: in Rust, set `crate-type = [\"cdylib\"]`",
        _ => "give the .wasm file that the build writes last; `mortise plugin build` prints its path",
    }
}

pub(super) fn core_module(origin: &Origin) -> &'static str {
    let wasi = origin.wants_wasi();
    match origin.language {
        Some(Language::Rust) if wasi => {
            "it was built for wasm32-wasip1, whose standard library wants WASI: build with `mortise plugin \
             build`, or with `--target wasm32-unknown-unknown` and then `wasm-tools component new`"
        }
        Some(Language::Rust) if !origin.carries_world => {
            "it carries no world: does the crate call an export macro of `mortise-guest`, and is its \
             crate-type \"cdylib\"? `mortise plugin build` then makes the component"
        }
        Some(Language::Go) => {
            "make a component of it: `wasm-tools component embed` with the WIT folder, then `wasm-tools \
             component new --adapt` with the adapter wasi_snapshot_preview1.reactor.wasm; Go's runtime needs \
             the capability `wasi-minimal`"
        }
        Some(Language::TinyGo) => {
            "build with `tinygo build -target=wasip2 --wit-package wit --wit-world WORLD`, which makes a \
             component by itself; TinyGo's runtime needs the capability `wasi-minimal`"
        }
        Some(Language::Python) => {
            "this is a part of a component: `componentize-py … componentize --stub-wasi plugin -o \
             plugin.wasm` makes the whole by itself, so give the file that its `-o` names"
        }
        Some(Language::JavaScript) => {
            "this is the engine or a part of a component: `componentize-js plugin.js … -o plugin.wasm` makes \
             the whole by itself, so give the file that its `-o` names"
        }
        _ if wasi => {
            "something in it calls the system (printf, clocks, files), which plugins don't have: remove \
             that, then make a component of it with `wasm-tools component new`"
        }
        _ if !origin.carries_world => {
            "it carries no world: link the object file `…_component_type.o` that `wit-bindgen c` generates, \
             or run `wasm-tools component embed` with the WIT folder; then `wasm-tools component new` makes \
             the component"
        }
        _ => {
            "make a component of it: `wasm-tools component new FILE -o plugin.wasm`, or `mortise plugin \
             build`"
        }
    }
}

pub(super) fn malformed(language: Option<Language>) -> String {
    let without = match language {
        Some(Language::Rust) => "in Rust, without `-C target-feature=…` (atomics, exceptions) in RUSTFLAGS",
        Some(Language::C) => "in C, without `-pthread` and `-fwasm-exceptions`",
        Some(Language::Zig) => "in Zig, without features that `-mcpu` adds",
        Some(Language::Go) => "in Go, with `GOOS=wasip1`, not `GOOS=js`",
        Some(Language::TinyGo) => "in TinyGo, with `-target=wasip2`",
        Some(Language::Python) => {
            "with componentize-py alone: what other tools do to its output may break it"
        }
        Some(Language::JavaScript) => {
            "with componentize-js alone: what other tools do to its output may break it"
        }
        None => "without proposals beyond WebAssembly 2.0 (threads, garbage collection, exceptions)",
    };
    format!(
        "the file may be cut off or damaged on its way, or uses proposals that are not in WebAssembly 2.0: \
         build it anew, {without}; `wasm-tools validate FILE` says more"
    )
}

/// How this language gets its bindings to the contract.
fn bindings(language: Option<Language>) -> &'static str {
    match language {
        Some(Language::Rust) => {
            "depend on `mortise-guest` of that version, as the folder `vendor` of such a project has it"
        }
        Some(Language::C) => "run `wit-bindgen c` on its folder `wit`, as `mortise plugin build` does",
        Some(Language::Zig) => {
            "run `wit-bindgen c` on its folder `wit`, and `zig translate-c` on the header that it writes"
        }
        Some(Language::Go) => {
            "run `wit-bindgen go` on its folder `wit`, and give `wasm-tools component embed` the same folder"
        }
        Some(Language::TinyGo) => {
            "make the Go bindings from its folder `wit`, and give `tinygo build --wit-package` the same \
             folder"
        }
        Some(Language::Python) => "give its folder `wit` to `componentize-py -d wit -w WORLD`",
        Some(Language::JavaScript) => {
            "give its folder `wit` to `componentize-js --wit wit --world-name WORLD`"
        }
        None => "generate the bindings from its folder `wit`",
    }
}

pub(super) fn unknown_version(language: Option<Language>) -> String {
    let bindings = bindings(language);
    format!(
        "build it against one of the versions named, whose contract `mortise plugin new` writes into a \
         project: {bindings}; or update the daemon"
    )
}

pub(super) fn unfit(language: Option<Language>) -> String {
    let bindings = bindings(language);
    format!(
        "its bindings were made from other WIT files than those that `mortise plugin new` writes into a \
         project: {bindings}, and don't edit what is generated"
    )
}

pub(super) fn other_world(origin: &Origin) -> &'static str {
    let http = origin.exports.iter().any(|name| name.starts_with("wasi:http/"));
    let command = origin.exports.iter().any(|name| name.starts_with("wasi:cli/run"));
    match origin.language {
        _ if http => {
            "it serves HTTP: in JavaScript disable `-d http -d fetch-event`, and name the world with \
             `--world-name`"
        }
        _ if command => "it is a command with a main function; a plugin is a library that exports a world",
        Some(Language::Rust) => {
            "does the crate call an export macro of `mortise-guest`, outside of `#[cfg(test)]`, and is it \
             the library that was built?"
        }
        Some(Language::Python) => {
            "name the world: `componentize-py -d wit -w compaction-strategy componentize …`"
        }
        Some(Language::JavaScript) => {
            "name the world: `componentize-js … --wit wit --world-name compaction-strategy`"
        }
        Some(Language::Go) => {
            "name the world to `wit-bindgen go` and to `wasm-tools component embed`, with the folder `wit` \
             that `mortise plugin new` writes"
        }
        Some(Language::TinyGo) => {
            "name the world: `tinygo build -target=wasip2 --wit-package wit --wit-world compaction-strategy`"
        }
        _ if origin.form == Form::Component && origin.exports.is_empty() => {
            "it exports nothing: the functions of the world were probably removed by the linker; link the \
             object file `…_component_type.o` that `wit-bindgen c` generates"
        }
        Some(Language::C | Language::Zig) => {
            "generate the C bindings for the world by its name (`wit-bindgen c --world compaction-strategy`) \
             from the WIT files that `mortise plugin new` writes, and link the object file that comes with \
             them"
        }
        None => {
            "generate its bindings from the WIT files that `mortise plugin new` writes, for the world by its \
             name"
        }
    }
}

/// Imports that no grant covers.
pub(super) fn refused_imports(origin: &Origin) -> &'static str {
    match origin.language {
        _ if !origin.wants_wasi() => {
            "plugins import nothing but the log: remove the other imports from the world that it is built for"
        }
        Some(Language::Rust) => {
            "it was built for wasm32-wasip1 or wasm32-wasip2, whose standard library wants WASI even where \
             the plugin doesn't: build for wasm32-unknown-unknown, as `mortise plugin build` does"
        }
        Some(Language::Python) => {
            "componentize it with `--stub-wasi`: `componentize-py … componentize --stub-wasi`"
        }
        Some(Language::JavaScript) => {
            "switch off what the world doesn't have: `componentize-js … -d stdio -d random -d clocks -d http \
             -d fetch-event`"
        }
        Some(Language::Go | Language::TinyGo) => {
            "leave out the packages that want more than the capability `wasi-minimal` has, such as `net` and \
             `net/http`: there are no sockets; the clock, randomness and printing it has"
        }
        Some(Language::C | Language::Zig) => {
            "something in it calls the system, often `printf`, `assert` or `abort` of the C library: remove \
             it, or link with `-nostdlib` to see what needs it"
        }
        None => {
            "plugins have no WASI: build for a target without it, or stub it with the options of the tool \
             that made the component"
        }
    }
}

/// Imports that `wasi-minimal` covers.
pub(super) fn not_granted(language: Option<Language>) -> &'static str {
    match language {
        Some(Language::Rust) => {
            "it was built for wasm32-wasip1 or wasm32-wasip2, whose standard library wants WASI even where \
             the plugin doesn't: build for wasm32-unknown-unknown, as `mortise plugin build` does, and \
             nothing has to be granted"
        }
        Some(Language::Python) => {
            "componentize it with `--stub-wasi` (`componentize-py … componentize --stub-wasi`), and nothing \
             has to be granted"
        }
        Some(Language::JavaScript) => {
            "switch off what the world doesn't have (`componentize-js … -d stdio -d random -d clocks -d http \
             -d fetch-event`), and nothing has to be granted"
        }
        Some(Language::Go | Language::TinyGo) => {
            "Go's runtime cannot do without WASI: ask the operator for the capability `wasi-minimal` \
             (`--grant wasi-minimal` here and with `plugin add`), which has a virtual clock and seeded \
             randomness and neither files nor network"
        }
        Some(Language::C | Language::Zig) => {
            "something in it calls the system, often `printf`, `assert` or a clock of the C library: remove \
             it, and nothing has to be granted"
        }
        None => {
            "plugins need no WASI: build for a target without it, or stub it with the options of the tool \
             that made the component; else ask the operator for `--grant wasi-minimal`"
        }
    }
}
