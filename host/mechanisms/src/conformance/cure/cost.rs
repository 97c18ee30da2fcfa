//! Cures for what a component costs: its size, compiling it, its memory, its time.
//!
//! Each function is for one ground of refusal and answers in terms of the tools of one language, or in
//! general terms when the language is not known. The texts are parts of a message that has named the reason
//! and the limit already, so they repeat neither and end without a full stop. Nothing is decided here:
//! whether a component is refused is known before a cure is asked for.

use mortise_plugin_runtime::Language;

pub(super) fn too_large(language: Option<Language>) -> &'static str {
    match language {
        Some(Language::Rust) => {
            "set `opt-level = \"s\"`, `lto = true` and `strip = true` in [profile.release] of Cargo.toml"
        }
        Some(Language::C) => "compile with `-Os -flto -s`, and without `-g`",
        Some(Language::Zig) => "build with `-O ReleaseSmall -fstrip`",
        Some(Language::Go) => {
            "build with `-ldflags='-s -w'`, and leave out large packages such as `fmt` and `encoding/json`"
        }
        Some(Language::TinyGo) => "build with `tinygo build -opt=z -no-debug`",
        Some(Language::JavaScript) => {
            "StarlingMonkey itself takes 12 MB: leave out of the bundle what the plugin doesn't need; \
             `componentize-qjs` makes components of 2 MB, but loses the digits of numbers above 2^53"
        }
        Some(Language::Python) => {
            "componentize-py carries all of Python, 18 MB: leave out packages that the plugin doesn't need, \
             native ones first"
        }
        None => "build it optimised for size and strip it: `wasm-tools strip`, `wasm-opt -Oz`",
    }
}

pub(super) fn too_many(language: Option<Language>) -> &'static str {
    match language {
        Some(Language::Rust) => {
            "build the plugin alone, as `mortise plugin build` does, without `-C link-arg=--export-all`, and \
             set `strip = true` in [profile.release] of Cargo.toml"
        }
        Some(Language::C) => {
            "link without `-Wl,--export-all` and with `-s`: the bindings export what is needed"
        }
        Some(Language::Zig) => {
            "build without `-rdynamic` and with `-fstrip`: the bindings export what is needed"
        }
        Some(Language::Go) => {
            "build with `-ldflags='-s -w'`, and export nothing beside what the bindings ask for"
        }
        Some(Language::TinyGo) => {
            "build with `-no-debug`, and export nothing beside what the bindings ask for"
        }
        Some(Language::Python) => {
            "packages with native code bring most of them: leave out those that the plugin doesn't need"
        }
        Some(Language::JavaScript) => {
            "componentize-js makes far fewer: give its output as it is, not composed with other components"
        }
        None => {
            "the tool that linked it left all names in it: let it export its world alone, and strip the rest \
             (`wasm-tools strip --all`)"
        }
    }
}

/// How this language is told to make smaller functions.
fn less_inlining(language: Option<Language>) -> &'static str {
    match language {
        Some(Language::Rust) => {
            "build with `opt-level = \"s\"`, put `#[inline(never)]` on large functions, and make tables of \
             constants a `static`"
        }
        Some(Language::C) => {
            "compile with `-Os -fno-inline-functions -fno-unroll-loops`, and make tables of constants \
             `static const`"
        }
        Some(Language::Zig) => {
            "build with `-O ReleaseSmall`, mark large functions `noinline`, and don't unroll with `inline \
             for`"
        }
        Some(Language::Go) => {
            "build with `-gcflags=-l`, which inlines nothing, and make large literals smaller: Go fills maps \
             and slices by code"
        }
        Some(Language::TinyGo) => "build with `-opt=z`, and make large literals of maps and slices smaller",
        Some(Language::Python) => {
            "the interpreter's own functions fit, so it comes from a package with native code: leave it out"
        }
        Some(Language::JavaScript) => {
            "the engine's own functions fit, so it comes from an option that compiles ahead of time: build \
             without it"
        }
        None => "build with less inlining and unrolling, optimised for size",
    }
}

pub(super) fn function_too_large(language: Option<Language>) -> &'static str {
    less_inlining(language)
}

pub(super) fn uncompilable(language: Option<Language>) -> String {
    let usual = match language {
        Some(Language::Python | Language::JavaScript) => {
            "the interpreter itself takes some seconds and 400 MB, well within the limits"
        }
        Some(Language::Go) => "Go's runtime itself takes about a second and 90 MB, well within the limits",
        _ => "few and huge functions, or ones with very many variables, cost the compiler most",
    };
    format!("{usual}: {}", less_inlining(language))
}

/// Where memory that is there from the start comes from in this language.
fn at_the_start(language: Option<Language>) -> &'static str {
    match language {
        Some(Language::Rust) => {
            "make large `static` arrays a `Vec` that is filled when it is needed; without `-C \
             link-arg=--initial-memory=…`"
        }
        Some(Language::C) => {
            "allocate large global arrays with `malloc` when they are needed, keep the stack small \
             (`-Wl,-z,stack-size=65536`), and set no `-Wl,--initial-memory=…`"
        }
        Some(Language::Zig) => {
            "allocate large global arrays when they are needed, keep the stack small (`--stack 65536`), and \
             set no `--initial-memory`"
        }
        Some(Language::Go | Language::TinyGo) => {
            "make large package-level arrays a slice that is made when it is needed, and do nothing large in \
             `init`"
        }
        Some(Language::Python) => {
            "what is made while modules are imported is part of the component: make large objects at the \
             first call, and import less"
        }
        Some(Language::JavaScript) => {
            "what the top level of the modules makes is part of the component: make large objects at the \
             first call"
        }
        None => {
            "it asks for its memory at its start: lower the initial memory (`--initial-memory` of the \
             linker) and let it grow"
        }
    }
}

pub(super) fn starts_too_big(language: Option<Language>) -> &'static str {
    at_the_start(language)
}

pub(super) fn no_room(language: Option<Language>) -> &'static str {
    match language {
        Some(Language::Python) => {
            "every package with native code is a module of its own in the component: leave out those that \
             the plugin doesn't need"
        }
        Some(Language::JavaScript) => {
            "componentize-js makes one engine with one memory: give its output as it is, not composed with \
             other components"
        }
        Some(Language::Rust | Language::C | Language::Zig) => {
            "a plugin needs one module with one memory: link everything into one, rather than composing it \
             of several components"
        }
        Some(Language::Go | Language::TinyGo) => {
            "Go's runtime needs one module and at most the WASI adapter beside it: don't compose it with \
             other components"
        }
        None => "a plugin needs one or two modules: don't compose it of many components",
    }
}

pub(super) fn describe_trap(language: Option<Language>) -> String {
    let usual = match language {
        Some(Language::Rust) => {
            "with the SDK nothing can go wrong there, so look at what runs before: constructors (`ctor`), an \
             own allocator, an own `describe`; a panic's message is in the log"
        }
        Some(Language::C) => {
            "`describe` must fill name, version and summary, each with `…_string_dup`, which copies; a stack \
             that is too small (`-Wl,-z,stack-size=…`) ends here, too"
        }
        Some(Language::Zig) => {
            "`describe` must fill name, version and summary, each with `…_string_dup`, which copies; a stack \
             that is too small (`--stack`) ends here, too"
        }
        Some(Language::Go) => {
            "«cannot leave component instance» is Go's collector, which reads the clock while memory is \
             handed over: switch it off (`debug.SetGCPercent(-1)`) and call `runtime.GC()` inside the \
             exports"
        }
        Some(Language::TinyGo) => {
            "a panic, or work that `init` and package-level variables do: keep both free of clocks, \
             goroutines and output"
        }
        Some(Language::Python) => {
            "an exception, or a call of what `--stub-wasi` leaves out (`open`, `time.time`), while modules \
             are imported or in `describe`: keep both free of it"
        }
        Some(Language::JavaScript) => {
            "an exception: `plugin` must export `describe`, which returns { name, version, summary }, all \
             three of them strings"
        }
        None => "`describe` and what runs before it must not fail: make it constant",
    };
    format!("{usual}; `describe` is asked before anything else")
}

pub(super) fn describe_deadline(language: Option<Language>) -> String {
    let usual = match language {
        Some(Language::Python) => {
            "an interpreter that is componentized has its imports behind it, and answers within \
             milliseconds: look for loops in `describe`"
        }
        Some(Language::JavaScript) => {
            "an engine that is componentized has run its modules, and answers within milliseconds: look for \
             loops in `describe`"
        }
        Some(Language::Go | Language::TinyGo) => {
            "every call starts Go's runtime anew: look for loops in `init`, in package-level variables and \
             in `Describe`"
        }
        Some(Language::Rust) => "look for loops in constructors (`ctor`) and in an own `describe`",
        Some(Language::C | Language::Zig) => {
            "look for loops in global constructors (`_initialize`), in `cabi_realloc` and in `describe`"
        }
        None => "look for loops in what runs at the start, and in `describe`",
    };
    format!("{usual}; on a busy machine give it more time: {}", more("--deadline 1s"))
}

pub(super) fn describe_fuel(language: Option<Language>) -> String {
    let usual = match language {
        Some(Language::Python | Language::JavaScript) => {
            "an interpreter needs many instructions for anything"
        }
        Some(Language::Go | Language::TinyGo) => "Go's runtime needs many instructions to start",
        _ => "`describe` should cost next to nothing: look for work at the start and in it",
    };
    format!("{usual}; a limit of fuel was set for the plugin of this name: {}", more("--fuel 0"))
}

pub(super) fn describe_memory(language: Option<Language>) -> String {
    let usual = at_the_start(language);
    let needs = match language {
        Some(Language::Python) => "Python needs 13 MiB before it does anything; ",
        Some(Language::JavaScript) => "StarlingMonkey needs 9 MiB before it does anything; ",
        Some(Language::Go) => "Go needs 3 MiB before it does anything; ",
        _ => "",
    };
    format!("{needs}{usual}; else give it more: {}", more("--memory 64MiB"))
}

/// How an operator gives a plugin more.
fn more(flag: &str) -> String {
    format!(
        "`mortise plugin limits NAME {flag}`, which holds for every later version that is added with `--name \
         NAME`"
    )
}
