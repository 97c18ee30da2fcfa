//! What usually helps when a host refuses a component, by what is wrong and by language.

use super::origin::{Form, Language, Origin};
use crate::plugins::Ground;

/// What usually helps; `None` when the reason says it all.
pub(super) fn cure(ground: Ground, origin: &Origin, bytes: &[u8]) -> Option<String> {
    let cure = match ground {
        Ground::NotWasm => return not_wasm(bytes),
        Ground::CoreModule => core_module(origin),
        Ground::RefusedImports | Ground::NotGranted => refused_imports(origin),
        Ground::OtherWorld => other_world(origin),
        Ground::UnknownVersion => {
            "build it against one of the versions named, whose WIT files `mortise plugin new` writes into a \
             project, or update the daemon"
        }
        Ground::Unfit => {
            "its bindings were made from other WIT files: make them anew from those that `mortise plugin new` \
             writes, and don't edit them"
        }
        Ground::TooLarge => too_large(origin),
        Ground::TooMany => {
            "the tool that linked it left all names in it: let it export its world alone, and strip the rest \
             (`wasm-tools strip --all`)"
        }
        Ground::FunctionTooLarge => {
            "build with less inlining (`opt-level = \"s\"` in Rust, `-Os` in C), or move tables of constants \
             out of code"
        }
        Ground::StartsTooBig => {
            "it asks for its memory at its start: lower the initial memory (`--initial-memory` of the linker) \
             and let it grow"
        }
        Ground::Malformed => {
            "the file may be cut off, or was built with proposals that are not in WebAssembly 2.0 (threads, \
             garbage collection, exceptions): build it anew without them; `wasm-tools validate FILE` says more"
        }
        _ => return None,
    };
    Some(cure.to_owned())
}

fn not_wasm(bytes: &[u8]) -> Option<String> {
    let cure = match bytes {
        [] => "the file is empty: did the build fail?",
        [0x1f, 0x8b, ..] => "the file is compressed: unpack it with `gunzip` first",
        [b'P', b'K', ..] => "the file is a zip archive: unpack it first",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "the file is compressed: unpack it with `unzstd` first",
        [0x7f, b'E', b'L', b'F', ..] => {
            "the file is a program for this machine: compile for WebAssembly, in Rust with \
             `--target wasm32-unknown-unknown`"
        }
        [b'!', b'<', ..] => "the file is a static library: in Rust, set `crate-type = [\"cdylib\"]`",
        _ => return None,
    };
    Some(cure.to_owned())
}

fn core_module(origin: &Origin) -> &'static str {
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
        Some(Language::Go | Language::TinyGo) => {
            "make a component of it: `wasm-tools component embed` with the WIT folder, then `wasm-tools \
             component new --adapt` with the adapter wasi_snapshot_preview1.reactor.wasm; Go's runtime needs \
             the capability `wasi-minimal`"
        }
        _ if wasi => {
            "something in it calls the system (printf, clocks, files), which plugins don't have: remove that, \
             then make a component of it with `wasm-tools component new`"
        }
        _ if !origin.carries_world => {
            "it carries no world: link the code that `wit-bindgen` generates, or run `wasm-tools component \
             embed` with the WIT folder; then `wasm-tools component new` makes the component"
        }
        _ => {
            "make a component of it: `wasm-tools component new FILE -o plugin.wasm`, or `mortise plugin build`"
        }
    }
}

fn refused_imports(origin: &Origin) -> &'static str {
    match origin.language {
        Some(Language::Rust) => {
            "it was built for wasm32-wasip1 or wasm32-wasip2, whose standard library wants WASI even where the \
             plugin doesn't: build for wasm32-unknown-unknown, as `mortise plugin build` does"
        }
        Some(Language::Python) => {
            "componentize it with `--stub-wasi`: `componentize-py … componentize --stub-wasi`"
        }
        Some(Language::JavaScript) => {
            "switch off what the world doesn't have: `componentize-js … -d stdio -d random -d clocks -d http \
             -d fetch-event`"
        }
        Some(Language::Go | Language::TinyGo) => {
            "Go's runtime cannot do without WASI: ask the operator for the capability `wasi-minimal` (`--grant \
             wasi-minimal` here and with `plugin add`), which has a virtual clock and seeded randomness and \
             neither files nor network"
        }
        Some(Language::C | Language::Zig) => {
            "something in it calls the system, often `printf`, `assert` or `abort` of the C library: remove \
             it, or link with `-nostdlib` to see what needs it"
        }
        None if origin.wants_wasi() => {
            "plugins have no WASI: build for a target without it, or stub it with the options of the tool that \
             made the component"
        }
        None => {
            "plugins import nothing but the log: remove the other imports from the world that it is built for"
        }
    }
}

fn other_world(origin: &Origin) -> &'static str {
    let http = origin.exports.iter().any(|name| name.starts_with("wasi:http/"));
    let command = origin.exports.iter().any(|name| name.starts_with("wasi:cli/run"));
    match origin.language {
        _ if http => {
            "it serves HTTP: in JavaScript disable `-d http -d fetch-event`; name the world with `-n`"
        }
        _ if command => "it is a command with a main function; a plugin is a library that exports a world",
        Some(Language::Rust) => {
            "does the crate call an export macro of `mortise-guest`, outside of `#[cfg(test)]`, and is it the \
             library that was built?"
        }
        Some(Language::Python) => {
            "name the world: `componentize-py -d wit -w compaction-strategy componentize …`"
        }
        Some(Language::JavaScript) => "name the world: `componentize-js … -w wit -n compaction-strategy`",
        _ if origin.form == Form::Component && origin.exports.is_empty() => {
            "it exports nothing: the functions of the world were probably removed by the linker; link the object \
             file that `wit-bindgen` generates"
        }
        _ => {
            "generate its bindings from the WIT files that `mortise plugin new` writes, for the world by its name"
        }
    }
}

fn too_large(origin: &Origin) -> &'static str {
    match origin.language {
        Some(Language::JavaScript) => {
            "StarlingMonkey makes components of 12 MB and more; `componentize-qjs` makes some of 2 MB, but loses \
             the digits of numbers above 2^53"
        }
        Some(Language::Python) => {
            "componentize-py carries all of Python: remove packages that the plugin doesn't need, or ask the \
             operator to accept larger components"
        }
        _ => "build it optimised for size and strip it: `wasm-tools strip`, `wasm-opt -Oz`",
    }
}
