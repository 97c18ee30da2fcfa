//! Finds source files and separates code from comments and strings.
//!
//! The separation knows line and block comments, strings, raw strings and character literals; that is enough
//! for rules about calls and names, and cheaper to read than a full parser.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A source file, with a second text in which comments and strings are blanked.
#[derive(Debug)]
pub(super) struct Source {
    /// Path relative to the root, with forward slashes.
    pub(super) path: String,
    /// The file as it is.
    pub(super) text: String,
    /// The same lines with spaces for comments and the inside of strings.
    pub(super) code: String,
}

impl Source {
    pub(super) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { path: path.into(), code: code_only(&text), text }
    }

    /// Whether the file holds only tests or measurements, by its place.
    pub(super) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.contains("/benches/")
            || name == "tests.rs"
            || name.ends_with("_tests.rs")
    }

    /// First line (from 0) of the inline test module, or the number of lines.
    pub(super) fn tests_begin(&self) -> usize {
        let lines: Vec<&str> = self.code.lines().collect();
        let inline = |at: usize| {
            lines[at].trim() == "#[cfg(test)]"
                && lines[at + 1..].iter().find(|line| !line.trim_start().starts_with('#')).is_some_and(
                    |line| line.trim_start().starts_with("mod ") && line.trim_end().ends_with('{'),
                )
        };
        (0..lines.len()).find(|at| inline(*at)).unwrap_or(lines.len())
    }
}

/// All files with this ending, generated and foreign folders aside, in order.
pub(super) fn files(root: &Path, ending: &str) -> Result<Vec<Source>> {
    let mut paths = Vec::new();
    walk(root, ending, &mut paths)?;
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let relative = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            Ok(Source::new(relative, text))
        })
        .collect()
}

/// All Rust files.
pub(super) fn rust_files(root: &Path) -> Result<Vec<Source>> {
    files(root, "rs")
}

fn walk(folder: &Path, ending: &str, paths: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || matches!(&*name, "target" | "data" | "node_modules") {
            continue;
        }
        if path.is_dir() {
            walk(&path, ending, paths)?;
        } else if path.extension().is_some_and(|found| found == ending) {
            paths.push(path);
        }
    }
    Ok(())
}

/// A function: its name, its first line from 1, and how many lines it has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) lines: usize,
}

/// The functions of a formatted file, nested ones included.
pub(super) fn functions(code: &str) -> Vec<Function> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let end = format!("{}}}", &line[..indent]);
        let body = lines[at..].iter().position(|line| line.trim_end().ends_with([';', '{', '}']));
        let Some(opening) = body else { continue };
        if !lines[at + opening].trim_end().ends_with('{') {
            continue;
        }
        if let Some(length) = lines[at..].iter().position(|line| line.trim_end() == end) {
            found.push(Function { name, line: at + 1, lines: length + 1 });
        }
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "fn")?;
    let modifier =
        |word: &&str| matches!(*word, "const" | "async" | "unsafe" | "extern") || word.starts_with("pub");
    if !words[..at].iter().all(modifier) && !line.trim_start().starts_with("pub(") {
        return None;
    }
    let name: String =
        words.get(at + 1)?.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// The text with comments and the inside of strings and characters replaced by spaces; lines stay lines.
pub(super) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let skipped = match rest.as_bytes() {
            [b'/', b'/', ..] => rest.find('\n').unwrap_or(rest.len()),
            [b'/', b'*', ..] => block_comment(rest),
            [b'"', ..] => string(rest),
            [b'r', b'"' | b'#', ..] if !ends_in_word(&code) => raw_string(rest),
            [b'\'', ..] => character(rest),
            _ => 0,
        };
        if skipped == 0 {
            let char = rest.chars().next().expect("the rest is not empty");
            code.push(char);
            rest = &rest[char.len_utf8()..];
        } else {
            code.extend(rest[..skipped].chars().map(|char| if char == '\n' { '\n' } else { ' ' }));
            rest = &rest[skipped..];
        }
    }
    code
}

fn ends_in_word(code: &str) -> bool {
    code.ends_with(|char: char| char.is_alphanumeric() || char == '_')
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    let bytes = rest.as_bytes();
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> usize {
    let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
    if rest.as_bytes().get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 2 + hashes;
    rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len())
}

/// Length of a character literal; 0 for a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            chars.next();
            chars.find(|(_, char)| *char == '\'').map_or(0, |(at, _)| at + 1)
        }
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 0,
        },
        None => 0,
    }
}
