//! Rules that look at the text of one file or folder.
//!
//! Lengths count every line: a file that is too long to read is too long with its comments, too. A rule that
//! has an exception names it here, with its reason.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Violation;
use super::source::{Source, functions};

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 70;
const COLUMNS: usize = 110;
const INLINE_TEST_LINES: usize = 200;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "common", "helpers", "helper", "misc"];

/// Calls that a seam, a signal or a typed error replaces: what, where it is banned, what to do instead.
const BANNED: [(&str, Where, &str); 9] = [
    ("SystemTime::now", Where::OutsideTests, "take the time from `mortise_kernel::seams::Clock`"),
    ("Instant::now", Where::Kernel, "use `tokio::time::Instant`, which tests may pause"),
    ("thread::sleep", Where::Everywhere, "wait on a signal"),
    ("println!", Where::OutsideCommands, "log with `tracing`; only commands print"),
    ("eprintln!", Where::OutsideCommands, "log with `tracing`; only commands print"),
    ("dbg!", Where::Everywhere, "remove it"),
    ("todo!", Where::Everywhere, "finish it"),
    ("unimplemented!", Where::Everywhere, "finish it"),
    ("rand::rng()", Where::Kernel, "take randomness from `mortise_kernel::seams`"),
];

/// Where a call is banned.
#[derive(Clone, Copy)]
enum Where {
    Everywhere,
    OutsideTests,
    Kernel,
    OutsideCommands,
}

impl Where {
    fn holds(self, file: &Source, in_tests: bool) -> bool {
        let path = &file.path;
        match self {
            Self::Everywhere => true,
            // The seam itself has to ask the system; a deadline of a client is no decision of the kernel.
            Self::OutsideTests => !in_tests && !path.ends_with("/seams/mod.rs"),
            // The log's writer is a plain thread that times the disk for a metric and decides nothing by it.
            Self::Kernel => {
                !in_tests
                    && path.starts_with("host/kernel/src/")
                    && !path.ends_with("/seams/mod.rs")
                    && !path.ends_with("/log/writer.rs")
            }
            Self::OutsideCommands => {
                !in_tests
                    && !path.starts_with("host/server/src/cli")
                    && !path.starts_with("host/server/src/main.rs")
                    && !path.ends_with("/build.rs")
                    && !path.starts_with("examples/")
                    && !path.contains("/examples/")
                    && path != "tests/src/seed.rs"
            }
        }
    }
}

pub(super) fn judge(file: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut report =
        |line: usize, rule: String| found.push(Violation { file: file.path.clone(), line, rule });
    let lines = file.text.lines().count();
    if lines > FILE_LINES {
        report(0, format!("{lines} lines; at most {FILE_LINES}"));
    }
    if !file.text.starts_with("//!") {
        report(1, "no module header; begin with `//!`: what it is for, what it promises".to_owned());
    }
    for (number, (line, code)) in (1..).zip(file.text.lines().zip(file.code.lines())) {
        let columns = columns(line, code);
        if columns > COLUMNS {
            report(number, format!("{columns} columns; at most {COLUMNS}"));
        }
    }
    for function in functions(&file.code) {
        if function.lines > FUNCTION_LINES {
            let found = function.lines;
            report(function.line, format!("`{}` has {found} lines; at most {FUNCTION_LINES}", function.name));
        }
    }
    let tests = file.tests_begin();
    let inline = file.code.lines().count() - tests;
    if !file.is_test() && inline > INLINE_TEST_LINES {
        report(
            tests + 1,
            format!("{inline} lines of inline tests; move them to a sibling file past {INLINE_TEST_LINES}"),
        );
    }
    if let Some(name) = file.path.split(['/', '.']).find(|part| EMPTY_NAMES.contains(part)) {
        report(0, format!("`{name}` says nothing; name the module by what it does"));
    }
    judge_calls(file, tests, &mut report);
    judge_unsafe(file, &mut report);
    found
}

/// Columns that count: the inside of a string does not, because a message in one piece can be searched for;
/// nor does the row of a table in a comment, which cannot be broken.
fn columns(line: &str, code: &str) -> usize {
    let text = line.trim_start();
    if !text.starts_with("//") {
        let words: usize = code.split_whitespace().map(|word| word.chars().count() + 1).sum();
        return line.len() - text.len() + words.saturating_sub(1);
    }
    if text.trim_start_matches(['/', '!']).trim_start().starts_with('|') { 0 } else { line.chars().count() }
}

fn judge_calls(file: &Source, tests: usize, report: &mut impl FnMut(usize, String)) {
    for (at, line) in file.code.lines().enumerate() {
        for (call, banned, instead) in BANNED {
            // tokio's clock is the seam for durations and deadlines: a test may pause it.
            if call == "Instant::now" && !file.code.contains("use std::time::Instant") {
                continue;
            }
            if holds_call(line, call) && banned.holds(file, file.is_test() || at >= tests) {
                report(at + 1, format!("`{call}` is banned here; {instead}"));
            }
        }
    }
}

fn holds_call(line: &str, call: &str) -> bool {
    line.match_indices(call)
        .any(|(at, _)| !line[..at].ends_with(|char: char| char.is_alphanumeric() || char == '_'))
}

/// `unsafe` needs its reason in a comment beside it: on the same line or in the five lines before.
fn judge_unsafe(file: &Source, report: &mut impl FnMut(usize, String)) {
    let texts: Vec<&str> = file.text.lines().collect();
    for (at, line) in file.code.lines().enumerate() {
        // A function that is declared unsafe uses nothing yet; clippy asks for its safety section.
        let mut words = line.split(|char: char| !(char.is_alphanumeric() || char == '_'));
        let used = words.any(|word| word == "unsafe") && !line.contains("unsafe fn");
        let argued = texts[at.saturating_sub(5)..=at]
            .iter()
            .any(|line| line.contains("//") || line.contains("reason = "));
        if used && !argued {
            report(at + 1, "`unsafe` without its reason in a comment beside it".to_owned());
        }
    }
}

/// The folders of `host/mechanisms/src` that are mechanisms; the others (catalog, recording) serve them.
const MECHANISMS: [&str; 4] = ["compaction", "plugins", "rebuild", "volumes"];

/// Every mechanism has the same three modules, so that whoever knows one knows all, and whatever decides is a
/// mechanism.
pub(super) fn judge_mechanisms(root: &Path) -> Result<Vec<Violation>> {
    let folder = root.join("host/mechanisms/src");
    let mut found = Vec::new();
    let mut report =
        |file: &str, rule: String| found.push(Violation { file: file.to_owned(), line: 0, rule });
    let has = |folder: &Path, module: &str| {
        folder.join(format!("{module}.rs")).is_file() || folder.join(module).join("mod.rs").is_file()
    };
    for mechanism in MECHANISMS {
        for module in ["observe", "decide", "act"] {
            if !has(&folder.join(mechanism), module) {
                report(
                    &format!("host/mechanisms/src/{mechanism}"),
                    format!("a mechanism without `{module}`"),
                );
            }
        }
    }
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && has(&path, "decide") && !MECHANISMS.contains(&name.as_ref()) {
            let file = path.strip_prefix(root)?.to_string_lossy().into_owned();
            report(&file, "decides, and is not on the list of mechanisms".to_owned());
        }
    }
    Ok(found)
}

/// Every item of a contract is documented: plugin authors read nothing else.
pub(super) fn judge_wit(file: &Source) -> Vec<Violation> {
    const ITEMS: [&str; 9] =
        ["interface ", "world ", "record ", "variant ", "enum ", "flags ", "resource ", "type ", "package "];
    let lines: Vec<&str> = file.text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let item = line.trim_start();
        let function = item.contains(": func(") || item.contains(": async func(");
        if !function && !ITEMS.iter().any(|start| item.starts_with(start)) {
            continue;
        }
        let before = lines[..at].iter().rev().find(|line| !line.trim_start().starts_with('@'));
        if !before.is_some_and(|line| line.trim_start().starts_with("///")) && !item.starts_with("package ") {
            let rule = format!("`{}` is not documented; put `///` above it", item.trim_end_matches(" {"));
            found.push(Violation { file: file.path.clone(), line: at + 1, rule });
        }
    }
    found
}
