//! Every ground has, for every language, a cure that names this language's tools and nobody else's. Languages
//! are told from files as their tools make them.

use super::cure;
use crate::plugins::Ground;
use mortise_plugin_runtime::{Language, Origin};

/// Fields of a `producers` section: name of the field, then name and version of each value.
type Producers = &'static [(&'static str, &'static [(&'static str, &'static str)])];

/// What the tools of each language write, as found in components that they made; interpreters carry what they
/// were built with themselves.
const MADE: [(Option<Language>, Producers); 8] = [
    (
        Some(Language::Rust),
        &[
            ("language", &[("Rust", "")]),
            ("processed-by", &[("rustc", "1.95.0"), ("wit-component", "0.258.3")]),
        ],
    ),
    (
        Some(Language::C),
        &[
            ("language", &[("C11", "")]),
            ("processed-by", &[("clang", "21.1.0"), ("wit-bindgen-c", "0.61.1")]),
        ],
    ),
    (Some(Language::Zig), &[("processed-by", &[("zig", "0.17.0"), ("wit-bindgen-c", "0.61.1")])]),
    (
        Some(Language::Go),
        &[("language", &[("Go", "go1.27")]), ("processed-by", &[("Go cmd/compile", "go1.27")])],
    ),
    (Some(Language::TinyGo), &[("language", &[("C11", "")]), ("processed-by", &[("TinyGo", "0.39.0")])]),
    (
        Some(Language::Python),
        &[("language", &[("Rust", ""), ("C11", "")]), ("processed-by", &[("componentize-py", "0.25.1")])],
    ),
    (
        Some(Language::JavaScript),
        &[
            ("language", &[("JavaScript", ""), ("C_plus_plus_14", "")]),
            ("processed-by", &[("ComponentizeJS", "0.23.0"), ("clang", "19.1.5")]),
        ],
    ),
    (None, &[]),
];

fn text(into: &mut Vec<u8>, text: &str) {
    into.push(u8::try_from(text.len()).unwrap());
    into.extend(text.as_bytes());
}

fn count<T>(into: &mut Vec<u8>, items: &[T]) {
    into.push(u8::try_from(items.len()).unwrap());
}

/// An empty component, or core module, that these tools made.
fn made_by(producers: Producers, head: &[u8]) -> Vec<u8> {
    let mut section = Vec::new();
    text(&mut section, "producers");
    count(&mut section, producers);
    for (field, values) in producers {
        text(&mut section, field);
        count(&mut section, values);
        for (name, version) in *values {
            text(&mut section, name);
            text(&mut section, version);
        }
    }
    let mut size = Vec::new();
    count(&mut size, &section);
    assert!(section.len() < 128, "one byte tells the size");
    [head, &[0], &size, &section].concat()
}

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// A cure that is the same for all.
const fn all(word: &'static str) -> [&'static str; 8] {
    [word; 8]
}

/// A word of each cure: for Rust, C, Zig, Go, TinyGo, Python, JavaScript, and an unknown language.
const EXPECTED: &[(&[Ground], [&str; 8])] = &[
    (&[Ground::NotWasm], all("`mortise plugin build`")),
    (
        &[Ground::CoreModule],
        [
            "mortise-guest",
            "component_type.o",
            "component_type.o",
            "--adapt",
            "-target=wasip2",
            "--stub-wasi",
            "componentize-js",
            "component embed",
        ],
    ),
    (
        &[Ground::Malformed],
        [
            "target-feature",
            "-pthread",
            "-mcpu",
            "GOOS=wasip1",
            "-target=wasip2",
            "componentize-py alone",
            "componentize-js alone",
            "WebAssembly 2.0 (threads",
        ],
    ),
    (
        &[Ground::OtherWorld],
        [
            "mortise-guest",
            "component_type.o",
            "component_type.o",
            "wit-bindgen go",
            "--wit-world",
            "componentize-py -d wit -w",
            "--world-name",
            "removed by the linker",
        ],
    ),
    (
        &[Ground::UnknownVersion, Ground::Unfit],
        [
            "mortise-guest",
            "wit-bindgen c",
            "translate-c",
            "wit-bindgen go",
            "tinygo build --wit-package",
            "componentize-py -d wit",
            "componentize-js --wit",
            "folder `wit`",
        ],
    ),
    (&[Ground::RefusedImports], all("nothing but the log")),
    (
        &[Ground::NotGranted],
        [
            "wasm32-unknown-unknown",
            "printf",
            "printf",
            "--grant wasi-minimal",
            "--grant wasi-minimal",
            "--stub-wasi",
            "-d stdio",
            "--grant wasi-minimal",
        ],
    ),
    (&[Ground::NoSuchCapability], all("log")),
    (&[Ground::UselessWorld], all("mortise plugin new --world")),
    (
        &[Ground::TooLarge],
        ["opt-level", "-flto", "ReleaseSmall", "-ldflags", "-no-debug", "18 MB", "12 MB", "wasm-opt"],
    ),
    (
        &[Ground::TooMany],
        [
            "--export-all",
            "-Wl,--export-all",
            "-rdynamic",
            "-ldflags",
            "-no-debug",
            "native",
            "as it is",
            "strip",
        ],
    ),
    (
        &[Ground::FunctionTooLarge, Ground::Uncompilable],
        [
            "#[inline(never)]",
            "-fno-inline-functions",
            "noinline",
            "-gcflags=-l",
            "-opt=z",
            "native code",
            "ahead of time",
            "less inlining",
        ],
    ),
    (
        &[Ground::StartsTooBig, Ground::DescribeMemory],
        [
            "`Vec`",
            "-Wl,-z,stack-size",
            "--stack 65536",
            "package-level",
            "package-level",
            "imported",
            "top level",
            "initial memory",
        ],
    ),
    (
        &[Ground::NoRoom],
        [
            "one module",
            "one module",
            "one module",
            "adapter",
            "adapter",
            "native code",
            "one engine",
            "module",
        ],
    ),
    (&[Ground::Limits], all("--memory")),
    (
        &[Ground::DescribeTrap],
        [
            "SDK",
            "string_dup",
            "--stack",
            "SetGCPercent",
            "goroutines",
            "time.time",
            "{ name, version, summary }",
            "constant",
        ],
    ),
    (
        &[Ground::DescribeDeadline],
        [
            "ctor",
            "_initialize",
            "_initialize",
            "`init`",
            "`init`",
            "componentized",
            "componentized",
            "--deadline 1s",
        ],
    ),
    (&[Ground::DescribeFuel], all("--fuel 0")),
    (
        &[Ground::IdentityChanges],
        ["SDK", "plugin.c", "plugin.zig", "`Describe`", "`Describe`", "plugin.py", "plugin.js", "`plugin`"],
    ),
    (
        &[
            Ground::DescribeAnswer,
            Ground::PluginName,
            Ground::PluginVersion,
            Ground::VersionTaken,
            Ground::NameOfOtherWorld,
        ],
        [
            "Cargo.toml",
            "plugin.c",
            "plugin.zig",
            "`Describe`",
            "`Describe`",
            "plugin.py",
            "plugin.js",
            "`plugin`",
        ],
    ),
    (&[Ground::Unsigned], all(".minisig")),
    (&[Ground::WrongSignature], all("--trusted-keys")),
];

/// Words that belong to one language's tools, and whose they are.
const TOOLS: [(&str, &[Language]); 14] = [
    ("Cargo.toml", &[Language::Rust]),
    ("mortise-guest", &[Language::Rust]),
    ("opt-level", &[Language::Rust]),
    ("-fno-inline", &[Language::C]),
    ("-Wl,", &[Language::C]),
    ("plugin.c`", &[Language::C]),
    ("ReleaseSmall", &[Language::Zig]),
    ("plugin.zig", &[Language::Zig]),
    ("-gcflags", &[Language::Go]),
    ("SetGCPercent", &[Language::Go]),
    ("tinygo", &[Language::TinyGo]),
    ("componentize-py", &[Language::Python]),
    ("componentize-js", &[Language::JavaScript]),
    ("StarlingMonkey", &[Language::JavaScript]),
];

#[test]
fn every_ground_has_a_cure_for_every_language_by_its_own_tools() {
    for ground in Ground::ALL.iter().copied() {
        let head = if ground == Ground::CoreModule { MODULE } else { COMPONENT };
        let row = EXPECTED.iter().find(|(grounds, _)| grounds.contains(&ground));
        let words = row.unwrap_or_else(|| panic!("{ground} is not in the table")).1;
        for ((language, producers), word) in MADE.into_iter().zip(words) {
            let bytes = made_by(producers, head);
            let origin = Origin::of(&bytes);
            assert_eq!(origin.language, language, "{origin:?}");
            let cure = cure(ground, &origin, if ground == Ground::NotWasm { b"text" } else { &bytes });
            let of = format!("{ground} in {language:?}: {cure}");
            assert!(cure.contains(word), "{word:?} is missing: {of}");
            assert!(!cure.contains("  ") && !cure.ends_with('.') && cure.len() < 420, "{of}");
            for (tool, owners) in TOOLS {
                let foreign = !language.is_some_and(|language| owners.contains(&language));
                assert!(!foreign || !cure.contains(tool), "{tool} is another language's: {of}");
            }
        }
    }
}

#[test]
fn imports_that_no_grant_covers_have_cures_by_language() {
    let words =
        ["wasm32-unknown-unknown", "printf", "printf", "`net`", "`net`", "--stub-wasi", "-d http", "no WASI"];
    for ((_, producers), word) in MADE.into_iter().zip(words) {
        let mut origin = Origin::of(&made_by(producers, COMPONENT));
        origin.imports.push("wasi:sockets/tcp@0.2.0".to_owned());
        let cure = cure(Ground::RefusedImports, &origin, b"");
        assert!(cure.contains(word), "{word}: {origin:?}: {cure}");
    }
}
