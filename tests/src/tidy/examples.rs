//! Every public item of the guest SDK has an example that is compiled, run, and can fail.
//!
//! The SDK's pages are what an author of a plugin reads first. An example in them is a doctest: it is true as
//! long as `cargo test` passes, provided that it asserts something. Fields and variants are shown by the
//! example of their type, and `impl`s of foreign traits need none.

use super::Violation;
use super::source::Source;

const SDK: &str = "guest-sdk/src/";

/// Files that no author reads, with the reason.
const EXEMPT: [(&str, &str); 1] =
    [("guest-sdk/src/bindings.rs", "generated; what is public of it is re-exported, and shown there")];

/// Here only macros are judged: all else is public for what they expand to, and hidden from the pages.
const EXPORT: &str = "guest-sdk/src/export/";

const KINDS: [&str; 9] = ["fn", "struct", "enum", "trait", "const", "static", "type", "union", "macro"];

/// Judges one file; answers nothing about files that are not the SDK's.
pub(super) fn judge(file: &Source) -> Vec<Violation> {
    let exempt = EXEMPT.iter().any(|(path, _)| *path == file.path);
    if !file.path.starts_with(SDK) || exempt || file.is_test() {
        return Vec::new();
    }
    let texts: Vec<&str> = file.text.lines().collect();
    let codes: Vec<&str> = file.code.lines().take(file.tests_begin()).collect();
    let mut found = Vec::new();
    let mut in_trait = None;
    for (at, line) in codes.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if in_trait.is_some_and(|trait_indent| trait_indent == indent && line.trim() == "}") {
            in_trait = None;
        }
        let method = in_trait.is_some_and(|trait_indent| indent == trait_indent + 4);
        let mut attributes = codes[..at].iter().rev().take_while(|line| line.trim_start().starts_with("#["));
        let exported = attributes.any(|line| line.trim() == "#[macro_export]");
        let Some((kind, name)) = item(line, method, exported) else { continue };
        if kind == "trait" {
            in_trait = Some(indent);
        }
        if file.path.starts_with(EXPORT) && kind != "macro" {
            continue;
        }
        if !has_example(&texts[..at]) {
            let rule = format!("`{name}` has no example; show it in a code block that asserts something");
            found.push(Violation { file: file.path.clone(), line: at + 1, rule });
        }
    }
    found
}

/// Kind and name of the public item that begins on this line. In a trait, its functions are public without a
/// word; a macro is when it is exported.
fn item(line: &str, in_trait: bool, exported: bool) -> Option<(&'static str, String)> {
    let mut words = line.split_whitespace().peekable();
    let public = words.next_if_eq(&"pub").is_some();
    let (kind, name) = match words.next()? {
        // Only what comes from the contract; the SDK's own items are shown where they are defined.
        "use" if public => {
            let name = words.next().filter(|path| path.starts_with("wire::") || path.contains("bindings"))?;
            ("use", name)
        }
        "macro_rules!" if exported => ("macro", words.next()?),
        first => {
            let modifier = |word: &str| matches!(word, "async" | "unsafe" | "extern" | "const");
            let (mut kind, mut name) = (first, words.next()?);
            while modifier(kind) && (KINDS.contains(&name) || modifier(name)) {
                (kind, name) = (name, words.next()?);
            }
            let kind = KINDS.into_iter().find(|known| *known == kind)?;
            if !(public || (in_trait && matches!(kind, "fn" | "const"))) {
                return None;
            }
            (kind, name)
        }
    };
    let end = |char: char| !(char.is_alphanumeric() || matches!(char, '_' | ':'));
    let name = name.split(end).next().unwrap_or(name).trim_end_matches(':');
    Some((kind, name.to_owned()))
}

/// Whether the documentation right above an item has a block of Rust that is run and asserts. Attributes of
/// one line may stand between.
fn has_example(above: &[&str]) -> bool {
    let attached = |line: &str| line.starts_with("///") || line.starts_with("#[");
    let length = above.iter().rev().take_while(|line| attached(line.trim_start())).count();
    let mut open = None;
    for line in &above[above.len() - length..] {
        let Some(line) = line.trim_start().strip_prefix("///") else { continue };
        match (line.trim().strip_prefix("```"), open) {
            (Some(language), None) => open = Some(matches!(language, "" | "rust" | "should_panic")),
            (Some(_), Some(_)) => open = None,
            (None, Some(true)) if line.contains("assert") => return true,
            (None, _) => {}
        }
    }
    false
}
