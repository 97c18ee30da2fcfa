//! Each house rule finds what it forbids and leaves alone what it allows.

use super::examples;
use super::layers::{judge_file, judge_manifest};
use super::source::{Source, code_only, functions};
use super::text::{judge, judge_wit};
use super::violations;

fn rules(path: &str, text: &str) -> Vec<String> {
    judge(&Source::new(path, text)).into_iter().map(|violation| violation.rule).collect()
}

fn broken(path: &str, body: &str, expected: &str) {
    let rules = rules(path, &format!("//! Header.\n{body}\n"));
    assert!(rules.iter().any(|rule| rule.contains(expected)), "{body:?}: {rules:?}");
}

fn kept(path: &str, body: &str) {
    assert_eq!(rules(path, &format!("//! Header.\n{body}\n")), Vec::<String>::new(), "{body:?}");
}

#[test]
fn code_is_told_from_comments_and_strings() {
    let text = "a // b\nc /* d /* e */ f */ g \"h \\\" i\" r#\"j\"k\"# 'l' '\\'' &'m n";
    let code = code_only(text);
    let words: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(words, ["a", "c", "g", "&'m", "n"]);
    assert_eq!(code.lines().count(), 2);
}

#[test]
fn functions_are_measured() {
    let code = "impl A {\n    pub(crate) async fn long(\n        a: u8,\n    ) -> u8 {\n        a\n    }\n}\nfn one() {\n}\n";
    let found: Vec<(String, usize)> = functions(code).into_iter().map(|f| (f.name, f.lines)).collect();
    assert_eq!(found, [("long".to_owned(), 5), ("one".to_owned(), 2)]);
}

#[test]
fn lengths() {
    broken("host/kernel/src/a.rs", &"\n".repeat(401), "lines; at most 400");
    broken("host/kernel/src/a.rs", &format!("// {}", "x".repeat(120)), "columns; at most 110");
    broken("host/kernel/src/a.rs", &format!("let {} = 1;", "x".repeat(120)), "columns; at most 110");
    kept("host/kernel/src/a.rs", &format!("let message = \"{}\";", "x".repeat(120)));
    kept("host/kernel/src/a.rs", &format!("// | {} |", "x".repeat(120)));
    broken("host/kernel/src/a.rs", &format!("fn f() {{\n{}}}", "    a();\n".repeat(70)), "`f` has 72 lines");
    kept("host/kernel/src/a.rs", &format!("fn f() {{\n{}}}", "    a();\n".repeat(68)));
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}", "    // x\n".repeat(200));
    broken("host/kernel/src/a.rs", &tests, "lines of inline tests");
}

#[test]
fn headers_and_names() {
    assert_eq!(rules("host/kernel/src/a.rs", "fn f() {}\n").len(), 1);
    broken("host/kernel/src/utils.rs", "", "says nothing");
    broken("host/kernel/src/common/a.rs", "", "says nothing");
    kept("host/kernel/src/communal.rs", "");
}

#[test]
fn banned_calls() {
    broken("host/server/src/a.rs", "let t = SystemTime::now();", "SystemTime::now");
    broken("host/kernel/src/a.rs", "use std::time::Instant;\nlet t = Instant::now();", "Instant::now");
    kept("host/kernel/src/a.rs", "use tokio::time::Instant;\nlet t = Instant::now();");
    kept("host/kernel/src/log/writer.rs", "use std::time::Instant;\nlet t = Instant::now();");
    broken("host/kernel/src/a.rs", "std::thread::sleep(d);", "thread::sleep");
    broken("host/mechanisms/src/a.rs", "println!(\"x\");", "println!");
    broken("host/mechanisms/src/a.rs", "todo!()", "todo!");
    kept("host/server/src/cli/kv.rs", "println!(\"x\");");
    kept("host/kernel/src/seams/mod.rs", "let t = SystemTime::now();");
    kept("host/kernel/src/a.rs", "use std::time::Instant;\n// Instant::now is banned\nlet text = \"todo!\";");
    kept(
        "host/kernel/src/a.rs",
        "use std::time::Instant;\n#[cfg(test)]\nmod tests {\n    fn f() { Instant::now(); }\n}",
    );
}

#[test]
fn unsafe_needs_a_reason() {
    broken("host/kernel/src/a.rs", "\n\n\n\n\nunsafe { f() }", "without its reason");
    kept("host/kernel/src/a.rs", "// SAFETY: f has no precondition.\nunsafe { f() }");
    kept("host/kernel/src/a.rs", "\n\n\n\n\n\nunsafe fn alloc() {}");
    kept("host/kernel/src/a.rs", "\n\n\n\n\n\nlet unsafe_code = 1;");
}

#[test]
fn arrows() {
    let rule = |folder: &str, manifest: &str| judge_manifest(folder, "Cargo.toml", manifest).len();
    assert_eq!(rule("host/kernel", "[dependencies]\nlsm-tree.workspace = true\n"), 0);
    assert_eq!(rule("host/kernel", "[dependencies]\nwasmtime.workspace = true\n"), 1);
    assert_eq!(rule("host/kernel", "[dependencies]\nmortise-mechanisms.workspace = true\n"), 1);
    assert_eq!(rule("host/kernel", "[dev-dependencies]\nmortise-plugins.workspace = true\n"), 1);
    assert_eq!(rule("host/kernel", "[dependencies]\nserde = \"1\"\n"), 1);
    assert_eq!(rule("host/mechanisms", "[dependencies]\nmortise-kernel.workspace = true\n"), 0);
    assert_eq!(rule("host/new", "[dependencies]\n"), 1);
}

#[test]
fn wiring_alone_knows_the_runtime() {
    let all = "use mortise_kernel::A;\nuse mortise_mechanisms::B;\nuse mortise_plugin_runtime::C;\n";
    assert_eq!(judge_file(&Source::new("host/server/src/wiring.rs", all)).len(), 0);
    assert_eq!(judge_file(&Source::new("host/server/src/api/kv.rs", all)).len(), 1);
    assert_eq!(judge_file(&Source::new("host/server/src/a.rs", "use mortise_plugins::X;\n")).len(), 1);
    assert_eq!(judge_file(&Source::new("host/server/src/a.rs", "mortise_componentize::wrap(b)\n")).len(), 1);
    assert_eq!(judge_file(&Source::new("host/server/src/a.rs", "// mortise_plugins\n")).len(), 0);
}

#[test]
fn contracts_are_documented() {
    let wit = |text: &str| judge_wit(&Source::new("wit/a.wit", text)).len();
    assert_eq!(
        wit("package a:b;\n/// Documented.\ninterface c {\n    /// So is this.\n    d: func();\n}\n"),
        0
    );
    assert_eq!(wit("interface c {\n    d: func();\n}\n"), 2);
}

#[test]
fn items_of_the_sdk_have_examples() {
    let broken = |path: &str, text: &str| -> Vec<String> {
        let found = examples::judge(&Source::new(path, text)).into_iter();
        found.map(|violation| violation.rule.split('`').nth(1).unwrap_or_default().to_owned()).collect()
    };
    let none: [&str; 0] = [];
    let sdk = "guest-sdk/src/a.rs";
    for item in [
        "pub fn name() {}",
        "pub const fn name() {}",
        "pub async fn name<T>() {}",
        "pub struct name(u8);",
        "pub enum name {\n    /// A variant.\n    A,\n}",
        "pub trait name {\n    type Config;\n}",
        "pub const name: u8 = 1;",
        "#[macro_export]\nmacro_rules! name {\n}",
        "impl A {\n    pub fn name() {}\n}",
    ] {
        assert_eq!(broken(sdk, &format!("/// Documented.\n{item}\n")), ["name"], "{item}");
    }
    let shown = "/// A.\n///\n/// ```\n/// assert!(true);\n/// ```\n";
    assert_eq!(broken(sdk, &format!("{shown}#[must_use]\npub fn name() {{}}\n")), none);
    assert_eq!(broken(sdk, &format!("{shown}pub fn one() {{}}\n\npub fn other() {{}}\n")), ["other"]);
    for block in ["```\n/// name();\n/// ```", "```text\n/// assert!(true);\n/// ```", "assert!(true);"] {
        assert_eq!(broken(sdk, &format!("/// A.\n/// {block}\npub fn name() {{}}\n")), ["name"], "{block}");
    }
    let in_trait = "pub trait T {\n    fn name();\n}\nfn private() {}\n";
    assert_eq!(broken(sdk, &format!("{shown}{in_trait}")), ["name"]);
    assert_eq!(
        broken(sdk, "pub use crate::bindings::name;\npub use step::Step;\n"),
        ["crate::bindings::name"]
    );
    assert_eq!(
        broken(sdk, "pub(crate) fn a() {}\nstruct B {\n    pub c: u8,\n}\nmacro_rules! d {\n}\n"),
        none
    );
    assert_eq!(broken("guest-sdk/src/export/a.rs", "pub fn a() {}\n"), none);
    assert_eq!(broken("guest-sdk/src/bindings.rs", "pub fn a() {}\n"), none);
    assert_eq!(broken("host/kernel/src/a.rs", "pub fn a() {}\n"), none);
    let exported = "#[macro_export]\nmacro_rules! name {\n}\n";
    assert_eq!(broken("guest-sdk/src/export/a.rs", exported), ["name"]);
}

#[test]
fn a_repository_without_crates_is_an_error_not_a_pass() {
    let empty = tempfile::tempdir().expect("a temporary directory");
    assert!(violations(empty.path()).is_err());
}
